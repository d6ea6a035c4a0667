"""How a key of a recipe is declared: a field of a plan with its JSON Schema, ``epochs: Annotated[int, integer(...)]``.

A choice is a mapping whose single key names the alternative, written with ``if``/``then``/``else`` instead of
``anyOf``, so that an error speaks of the alternative that the recipe chose.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from surgeon.catalogue.entry import Entry, number
from surgeon.catalogue.kinds import KINDS

Schema = dict[str, Any]

REQUIRED: Final = "required"  # marks a key that every recipe has to give


@dataclass(frozen=True)
class Choice:
    """An entry of the catalogue by its name, with complete parameters."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """Marks keys that recipes write in a mapping of their own, and that are fields of the plan itself."""

    name: str
    description: str


@dataclass(frozen=True)
class Formerly:
    """Marks a key whose default is not what runs did before there was the key.

    Attributes:
        value: What they did, as a recipe would say it.
    """

    value: Any


def text(description: str, **rest: Any) -> Schema:
    """Returns the schema of text."""
    return {"description": description, "type": "string", **rest}


def name_of(kind: str, description: str) -> Schema:
    """Returns the schema of an entry's bare name."""
    return text(description, enum=list(KINDS[kind]), title=kind)


def mapping(description: str, properties: Mapping[str, Any], required: Sequence[str] = ()) -> Schema:
    """Returns the schema of a mapping with these keys and no other."""
    schema: Schema = {
        "description": description,
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return {**schema, "required": list(required)} if required else schema


def sequence(description: str, items: Schema) -> Schema:
    """Returns the schema of a list that is not empty."""
    return {"description": description, "type": "array", "minItems": 1, "items": items}


def or_bare(long: Schema, key: str) -> Schema:
    """Returns the schema of a mapping that may be written as the bare value of one key, which then is its first."""
    bare = long["properties"][key]
    types = [bare["type"]] if isinstance(bare["type"], str) else bare["type"]
    then = {name: value for name, value in long.items() if name != "description"}
    return {
        "description": long["description"],
        "type": [*types, "object"],
        "if": {"type": "object"},
        "then": {**then, "properties": {key: bare, **long["properties"]}},
        "else": {name: value for name, value in bare.items() if name not in ("type", "default")},
    }


def parameters_of(entry: Entry) -> Schema:
    """Returns the schema of an entry's parameters, in the long form or as the bare shorthand."""
    long = mapping(entry.summary, entry.parameters, entry.required)
    return long if entry.shorthand is None else or_bare(long, entry.shorthand)


def one_of(kind: str, description: str, bare: Schema | None = None, **rest: Any) -> Schema:
    """Returns the schema of ``name`` or ``{name: parameters}``.

    Args:
        kind: Of the catalogue's entries.
        description: What is chosen.
        bare: What may stand there instead of a name; it means the first entry.
        rest: Further keywords of the schema, such as ``default``.
    """
    entries = KINDS[kind].values()
    otherwise = bare or {"type": "string", "enum": [entry.name for entry in entries if not entry.required]}
    return {
        "title": kind,
        "description": description,
        "type": [otherwise["type"], "object"],
        "if": {"type": "object"},
        "then": {
            "title": kind,
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {entry.name: parameters_of(entry) for entry in entries},
            "additionalProperties": False,
        },
        "else": {"title": kind, **{key: value for key, value in otherwise.items() if key != "type"}},
        **rest,
    }


_LONGEST_SELECTOR = 1000  # what a pattern takes to match grows with the square of its length


def selector(description: str) -> Schema:
    """Returns the schema of what names a layer, or layers."""
    return {"description": description, "type": ["integer", "string"], "maxLength": _LONGEST_SELECTOR}


def selectors(description: str) -> Schema:
    """Returns the schema of a selector or of a list of them."""
    one = selector("`head`, `backbone`, `all`, an index, a name, a range such as `15..` or `a..b`, or a glob.")
    many = {"if": {"type": "array"}, "then": {"minItems": 1, "items": one}}
    return {**selector(description), "type": ["integer", "string", "array"], **many}


def by_selector(description: str, value: Schema) -> Schema:
    """Returns the schema of a mapping from selectors to values."""
    return {"description": description, "type": "object", "additionalProperties": value}


def sides(description: str) -> Schema:
    """Returns the schema of the size of an image: one side for both, or height and width."""
    bounds = {"minimum": 8, "maximum": 4096}
    return {
        "description": description,
        "type": ["integer", "array"],
        "if": {"type": "array"},
        "then": {"minItems": 2, "maxItems": 2, "items": {"type": "integer", **bounds}},
        "else": bounds,
    }


def weights_by_name(description: str, words: Sequence[str]) -> Schema:
    """Returns the schema of a mapping of names to weights, or of one of some words instead."""
    weight = number("The weight of the class, as a factor.", minimum=0.001, maximum=1000)
    return {
        "description": description,
        "type": ["string", "object"],
        "if": {"type": "object"},
        "then": {"minProperties": 1, "additionalProperties": weight},
        "else": {"enum": list(words)},
    }


def renames(description: str) -> Schema:
    """Returns the schema of a mapping from names to other names."""
    name = text("The new name.", minLength=1)
    return {"description": description, "type": "object", "minProperties": 1, "additionalProperties": name}


def figure(label: str) -> Schema:
    """Returns the schema of a measured figure, with what it spreads over seeds if that is known."""
    spread = {
        "mean": number("The figure, or its mean over several seeds.", minimum=0, maximum=1),
        "std": number("The standard deviation over seeds, as `surgeon run --repeat` reports it.", minimum=0, maximum=1),
    }
    description = f"The {label} on the test images: a number, or `{{mean: 0.9, std: 0.01}}` over seeds."
    return or_bare(mapping(description, spread, ("mean",)), "mean")


class Key(NamedTuple):
    """A field of a plan that is a key of recipes.

    Attributes:
        form: The type of what the plan holds.
        schema: What a recipe may say.
        marks: ``REQUIRED`` and a ``Section``, where they are.
    """

    form: Any
    schema: Schema
    marks: tuple[Any, ...]


@functools.cache
def keys_of(plan: type) -> Mapping[str, Key]:
    """Returns the keys of a plan by the names of their fields, which are annotated with a schema and with marks."""
    hints = get_type_hints(plan, include_extras=True)
    return {
        name: Key(hint.__origin__, hint.__metadata__[0], hint.__metadata__[1:])
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
    }


def dataclass_in(form: Any) -> Any:
    """Returns the dataclass that a type holds, optional or in a tuple, or None if it holds none."""
    return next(filter(is_dataclass, (form, *get_args(form))), None)


def section(plan: type) -> Schema:
    """Returns the schema of the mapping that becomes a plan: the first line of its docstring, and its keys."""
    properties: dict[str, Schema] = {}
    for name, key in keys_of(plan).items():
        place = properties
        for mark in key.marks:
            if isinstance(mark, Section):
                place = properties.setdefault(mark.name, mapping(mark.description, {}))["properties"]
        place[name] = key.schema
    required = [name for name, key in keys_of(plan).items() if REQUIRED in key.marks]
    return mapping((inspect.getdoc(plan) or "").partition("\n")[0], properties, required)
