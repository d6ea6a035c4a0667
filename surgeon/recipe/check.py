"""A document against the schema: every mismatch as a diagnostic that a person can act on."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from surgeon.catalogue.kinds import KINDS, listing_command
from surgeon.errors import Diagnostic, did_you_mean, nearest, quote
from surgeon.recipe.document import Document
from surgeon.recipe.schema import recipe_schema
from surgeon.recipe.text import ValuePath, spell_path

_EXPECTED = {
    "minimum": "at least {}",
    "maximum": "at most {:,}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minItems": "a list of length {} or more",
    "maxItems": "a list of length {} or less",
    "minLength": "at least {} character",
    "maxLength": "at most {:,} characters",
    "const": "{}, the version of the recipe language that this release of surgeon reads",
}
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}
_UNITS = {
    "degrees": ("a full turn", 360),
    "percent": ("the whole", 100),
}  # of what a value is a part; how many make one
_WITH_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:%|percent|°|deg|degrees?)")
_CALLED = {  # by other tools
    "dataset": "data",
    "freeze": "trainable",
    "frozen": "trainable",
    "learning_rate": "lr",
    "model": "backbone",
}
_OPPOSITE = {"freeze", "frozen"}
_NO_PARAMETERS = "write `{}`: it has no parameters"


@functools.cache
def _validator() -> Any:
    return Draft202012Validator(recipe_schema())


def check_schema(document: Document) -> list[Diagnostic]:
    """Returns every mismatch between a document and the recipes' schema."""
    errors = [(tuple(error.absolute_path), error) for error in _validator().iter_errors(document.values)]
    # A value of the wrong type, or with a key too many, fails further checks too; that one says it all.
    crowded = {path for path, error in errors if error.validator == "maxProperties"}
    settled = {path for path, error in errors if error.validator == "type"} | crowded
    found = [
        diagnostic
        for path, error in errors
        if (error.validator in {"type", "maxProperties"} or path not in settled)
        and not (error.instance is None and path[:-1] in crowded)
        for diagnostic in _diagnose(error, document, path)
    ]
    return list(dict.fromkeys(found))


def _diagnose(error: Any, document: Document, path: ValuePath) -> Iterator[Diagnostic]:
    explain = _EXPLANATIONS.get(error.validator, _out_of_range)
    for code, message, hint, below in explain(error.schema.get("title", ""), error):
        at = (*path, *below)
        yield Diagnostic(code, message, document.location(at), spell_path(at), hint)


# Code, message, hint, and where in the mismatched value the problem is.
_Explained = Iterator[tuple[str, str, str | None, ValuePath]]


def _unknown_keys(kind: str, error: Any) -> _Explained:
    known = list(error.schema["properties"])
    for key in (key for key in error.instance if key not in known):
        if kind in KINDS:
            yield "unknown-name", f"no {kind} is called {quote(key)}", _suggest(kind, key), (key,)
        else:
            hint = did_you_mean(key, known) or (f"expected {_one_of(known)}" if known else _NO_PARAMETERS)
            if key == "<<":
                hint = "YAML 1.2 has no merge keys; write the values out"
            elif key.partition(".")[0] in known:
                hint = "nest the keys below each other; only --set accepts dotted paths"
            elif _CALLED.get(key) in known:
                hint = f"here it is {_CALLED[key]!r}" + (", which names what is not frozen" if key in _OPPOSITE else "")
            elif inside := _place_of(key, error.schema["properties"]):
                hint = f"it belongs to {inside}"
            yield "unknown-key", f"unknown key {quote(key)}", hint, (key,)


def _place_of(key: str, sections: Mapping[str, Any]) -> str | None:
    """Returns the first section that has a key, ``phases`` for a key of each phase."""
    for name, section in sections.items():
        inner = section.get("items", section) if isinstance(section, dict) else {}
        if key in inner.get("properties", {}):
            return name
    return None


def _missing_keys(kind: str, error: Any) -> _Explained:
    given = error.instance.keys() - error.schema["properties"].keys()
    meant = {_CALLED.get(key) or nearest(key, error.schema["properties"]) for key in given}
    for key in error.validator_value:
        # Each missing key is an error of its own, named only in its text. One that is misspelled is not missing.
        if error.message.startswith(repr(key)) and key not in meant:
            schema = error.schema["properties"][key]
            description = schema["description"].removesuffix(".")
            expected = f"expected {description[0].lower()}{description[1:]}"
            hint = f"write {key}: {schema['const']}" if "const" in schema else expected
            yield "missing-key", f"{key!r} is missing", hint, (key,)


def _not_an_option(kind: str, error: Any) -> _Explained:
    options, found = error.validator_value, error.instance
    if str(found) in KINDS.get(kind, {}):
        yield "missing-key", f"{found} needs parameters", _long_form(kind, str(found)), ()
    elif kind in KINDS:
        yield "unknown-name", f"no {kind} is called {describe(found)}", _suggest(kind, found), ()
    else:
        hint = "remove the quotes" if _is_quoted_number(found) else did_you_mean(found, options)
        yield "not-an-option", f"expected {_one_of(options)}, found {describe(found)}", hint, ()


def _wrong_type(kind: str, error: Any) -> _Explained:
    wanted, found = error.validator_value, error.instance
    if found is None and not error.absolute_path:
        yield "empty", "the recipe is empty", "`surgeon recipes list` shows some to start from", ()
        return
    types = [wanted] if isinstance(wanted, str) else wanted
    spelled = _TYPES | ({"string": f"the {kind}'s name"} if kind in KINDS else {})
    options = error.schema.get("enum") if kind not in KINDS else None
    expected = _one_of(options) if options else _alternatives([spelled[name] for name in types])
    hint = _type_hint(kind, types, error.schema, found)
    if isinstance(found, str) and _WITH_UNIT.fullmatch(found.strip()):
        hint = _unit_hint(error) or hint
    # A file that is text as a whole is not a recipe, and what it holds is not for everyone to read.
    shown = describe(found) if error.absolute_path or not isinstance(found, str) else "text"
    yield "wrong-type", f"expected {expected}, found {shown}", hint, ()


def _type_hint(kind: str, types: Sequence[str], schema: Mapping[str, Any], found: object) -> str | None:
    """Returns what to do about a value of the wrong type, as far as its look tells."""
    keys = schema.get("properties", {})
    hint = None
    if found is None:
        is_optional = "object" in types and "then" not in schema and "required" not in schema
        hint = "write `{}` for the defaults" if is_optional else "give it a value, or remove it"
    elif {"integer", "number"} & set(types) and _is_quoted_number(found):
        hint = "remove the quotes"
    elif kind in KINDS and isinstance(found, str):
        hint = _long_form(kind, found) if found in KINDS[kind] else _suggest(kind, found)
    elif "name" in keys and isinstance(found, str) and not kind:
        hint = f"write {{name: {found}}}"
    elif list(types) == ["array"]:
        hint = "begin each item with a dash"
    elif isinstance(found, list) and "object" in types:
        hint = "write it without dashes or brackets"
    elif "properties" in schema:
        hint = f"its keys are {', '.join(map(repr, keys))}" if keys else _NO_PARAMETERS
    elif "examples" in schema:
        hint = f"write {schema['examples'][0]}, for example"
    elif list(types) == ["string"] and isinstance(found, int | float):
        hint = "put it into quotes, spelled as it is meant"
    return hint


def _is_quoted_number(found: object) -> bool:
    return isinstance(found, str) and re.fullmatch(r"[-+]?[0-9.]+(e-?[0-9]+)?", found) is not None


def _no_key(kind: str, error: Any) -> _Explained:
    if kind:
        yield "one-key", f"expected one key, the {kind}'s name, found none", _listed(kind), ()
    else:
        yield "missing-key", "expected at least one key, found none", None, ()


def _many_keys(kind: str, error: Any) -> _Explained:
    found = list(error.instance)
    bare = [key for key in found if error.instance[key] is None]
    unknown = [key for key in found if key not in KINDS.get(kind, found)]
    hint = "keep one of them"
    if bare:
        hint = f"indent the parameters of {quote(bare[0])} below it"
    elif unknown and (near := did_you_mean(unknown[0], KINDS[kind])):
        hint = near
    yield "one-key", f"expected one key, the {kind}'s name, found {', '.join(map(quote, found))}", hint, ()


def _not_a_name(kind: str, error: Any) -> _Explained:
    message = f"a name may not contain slashes or control characters, found {describe(error.instance)}"
    yield "out-of-range", message, None, ()


def _out_of_range(kind: str, error: Any) -> _Explained:
    expected = _EXPECTED[error.validator].format(error.validator_value)
    yield "out-of-range", f"expected {expected}, found {describe(error.instance)}", _unit_hint(error), ()


def _unit_hint(error: Any) -> str | None:
    """Returns what to write for a part of a whole that was written in another unit, if that is what it looks like."""
    unit = error.schema.get("x-unit", error.schema.get("else", {}).get("x-unit"))
    found = error.instance
    if isinstance(found, str) and (written := _WITH_UNIT.fullmatch(found.strip())):
        found = float(written[1])
    if unit is None or not isinstance(found, int | float) or not 2 <= found <= _UNITS[unit][1]:
        return None
    whole, size = _UNITS[unit]
    return f"it is a fraction of {whole}: write {found / size:.2g} for {found:g} {unit}"


_EXPLANATIONS: Mapping[str, Callable[[str, Any], _Explained]] = {
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "enum": _not_an_option,
    "type": _wrong_type,
    "minProperties": _no_key,
    "maxProperties": _many_keys,
    "not": _not_a_name,
}


def describe(value: object) -> str:
    """Returns how a message shows a value of a recipe."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of length {len(value)}" if value else "an empty list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return quote(value)


def _long_form(kind: str, name: str) -> str:
    parameters = ", ".join(f"{parameter}: ..." for parameter in KINDS[kind][name].required)
    return f"write {{{name}: {{{parameters}}}}}"


def _suggest(kind: str, found: object) -> str:
    return did_you_mean(found, KINDS[kind]) or _listed(kind)


def _listed(kind: str) -> str:
    return f"`surgeon {listing_command(kind)}` lists them"


def _one_of(options: Iterable[str]) -> str:
    return _alternatives([repr(option) for option in options])


def _alternatives(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
