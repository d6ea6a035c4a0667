"""The compiler's first step, and back: shorthands to their long forms, paths to absolute ones, defaults filled in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from surgeon.catalogue.backbones import BACKBONES
from surgeon.errors import Diagnostic, SurgeonError
from surgeon.recipe.bundle import MODEL, NETWORK, read_bundle
from surgeon.recipe.document import Document
from surgeon.recipe.schema import recipe_schema
from surgeon.recipe.text import ValuePath, spell_path

Values = dict[str, Any]

_GROUPS = ("augment", "evaluate", "expected")  # of settings, which are there though nothing is said
_NOWHERE = Document(Path(), {}, {})  # where defaults are written, of which none is a relative path


def complete(document: Document, problems: Iterable[Diagnostic]) -> Values:
    """Returns a recipe's values in their long form, with the defaults that the schema and the catalogue give.

    A value that has a problem, or is missing, is None in the result, so that what is sound can still be checked.
    """
    given: Values = {"name": document.path.stem, **{key: {} for key in _GROUPS}}
    values = _without(document.values, (), {problem.path for problem in problems})
    given |= values if isinstance(values, dict) else {}
    if given.get("data") is not None:
        given["data"].setdefault("split", {})
    for number, phase in enumerate(given.get("phases") or (), 1):
        if phase is not None:
            phase.setdefault("name", f"phase {number}")
    recipe: Values = _completed(given, recipe_schema(), document, ())
    if recipe["augment"] is not None:
        recipe["augment"] = {name: recipe["augment"].get(name) for name in given["augment"]}  # their order matters
    data, backbone = recipe["data"], recipe["backbone"]
    if backbone is not None:
        _complete_backbone(backbone, given["backbone"], document)
        if data is not None and "image_size" not in data and backbone.get("name") in BACKBONES:
            data["image_size"] = BACKBONES[backbone["name"]].image_size
    return recipe


def shorten(recipe: Mapping[str, Any]) -> Values:
    """Returns a resolved recipe as a person would write it: without defaults, in shorthands where there are any."""
    short = _shortened(recipe, recipe_schema())
    return {key: value for key, value in short.items() if value != {} or key not in _GROUPS}


def _shortened(value: Any, schema: Mapping[str, Any]) -> Any:
    """Returns the shortest form of a value that ``_completed`` makes the value again."""
    long = schema.get("then", schema)
    if isinstance(value, list):
        return [_shortened(item, long.get("items", {})) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "properties" not in long:
        return {name: _shortened(item, long.get("additionalProperties", {})) for name, item in value.items()}
    known = long["properties"]
    kept = {name: _shortened(item, known[name]) for name, item in value.items() if not _is_default(item, known[name])}
    if "minProperties" not in long:  # of a choice, the name says enough
        kept |= {name: _only(value[name]) for name, item in kept.items() if item == {} and "then" in known[name]}
    bare = _bare(kept) if "then" in schema else kept
    return bare if bare is kept or _spelled_out(bare, long) == kept else kept


def _bare(kept: Values) -> Any:
    """Returns what a mapping of one entry may be written as: its value or, where that says nothing, its name."""
    if len(kept) != 1:
        return kept
    ((name, item),) = kept.items()
    if isinstance(item, Mapping | list):
        return kept if item else name
    return item


def _only(value: Any) -> Any:
    """Returns the scalar that a mapping holds, if it holds no more."""
    first, *others = value.values() or ({},)
    return value if others or isinstance(first, Mapping | list) else first


def _is_default(value: Any, schema: Mapping[str, Any]) -> bool:
    return "default" in schema and value == _completed(schema["default"], schema, _NOWHERE, ())


def is_whole(value: Any) -> bool:
    """Tells whether a completed value is there and holds no part that had a problem."""
    if isinstance(value, Mapping):
        return all(is_whole(item) for item in value.values())
    if isinstance(value, list):
        return all(is_whole(item) for item in value)
    return value is not None


def _without(values: Any, path: ValuePath, broken: set[str]) -> Any:
    """Returns ``values`` with None in place of each value that is broken."""
    if spell_path(path) in broken:
        return None
    if isinstance(values, dict):
        return {key: _without(value, (*path, key), broken) for key, value in values.items()}
    if isinstance(values, list):
        return [_without(value, (*path, at), broken) for at, value in enumerate(values)]
    return values


def _completed(value: Any, schema: Mapping[str, Any], document: Document, at: ValuePath) -> Any:
    """Returns the value at a path in its long form."""
    if value is None:
        return None
    long = schema.get("then", schema)
    if "properties" in long:
        return _filled(value if isinstance(value, dict) else _spelled_out(value, long), long, document, at)
    if isinstance(value, list):
        items = long.get("items", {})
        return [_completed(item, items, document, (*at, number)) for number, item in enumerate(value)]
    if isinstance(value, dict):  # whose keys are anybody's
        items = long.get("additionalProperties", {})
        return {name: _completed(item, items, document, (*at, name)) for name, item in value.items()}
    return _absolute(value, document, at) if schema.get("format") == "path" else _as_typed(value, schema)


def _as_typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """Returns a number as what its schema calls it."""
    if schema.get("type") == "number":
        return float(value)  # Keras would count on in integers
    return int(value) if isinstance(value, float) and "integer" in schema.get("type", ()) else value


def _spelled_out(bare: Any, long: Mapping[str, Any]) -> Values:
    """Returns the mapping that a bare value means: the entry of that name where one is chosen, else the first key."""
    is_name = isinstance(bare, str) and "minProperties" in long
    return {bare: {}} if is_name else {next(iter(long["properties"])): bare}


def _filled(given: Values, schema: Mapping[str, Any], document: Document, at: ValuePath) -> Values | None:
    """Returns the known ones of ``given`` and all defaults in the schema's order, or None if too few are known."""
    filled = {
        name: _completed(given.get(name, known.get("default")), known, document, (*at, name))
        for name, known in schema["properties"].items()
        if name in given or "default" in known or name in schema.get("required", ())
    }
    return filled if len(filled) >= schema.get("minProperties", 0) else None


def _complete_backbone(backbone: Values, given: Values, document: Document) -> None:
    """Fills in what a run says of its own network, and finds the file of weights."""
    if "model" in backbone:
        if "weights" not in given:
            del backbone["weights"]  # a model file brings its own
        folder = _folder_of_a_bundle(backbone)
        if folder is not None:
            with suppress(SurgeonError):  # said where the file is opened
                bundle = read_bundle(folder)
                backbone["model"] = str(folder / bundle.file)
                backbone.setdefault("preprocessing", bundle.preprocessing)
    if backbone.get("weights") not in (None, "imagenet", "none"):
        backbone["weights"] = _absolute(backbone["weights"], document, ("backbone", "weights"))


def _folder_of_a_bundle(backbone: Values) -> Path | None:
    """Returns the folder of a run or an export that is meant as a backbone, or None if a file is.

    ``RUN/model.keras`` prepares pixels itself. Who says how they are to be prepared means the network inside it.
    """
    model = Path(backbone["model"] or "")
    if os.path.isdir(model):  # noqa: PTH112 - also of a path that is too long
        return model
    prepares_twice = model.name == MODEL and backbone.get("preprocessing") not in (None, "none")
    return model.parent if prepares_twice and os.path.isfile(model.with_name(NETWORK)) else None  # noqa: PTH113


def _absolute(path: str, document: Document, at: ValuePath) -> str:
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:  # a tilde and the name of nobody
        expanded = Path(path)
    whole = os.path.abspath(document.folder(at) / expanded)  # noqa: PTH100 - it takes out `..`
    written = str((document.folder(at) / expanded).absolute())
    # Behind a symbolic link `..` is not what it looks like.
    return whole if _is_same(whole, written) else written


def _is_same(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)  # noqa: PTH121 - also of a path that is too long
    except (OSError, ValueError):
        return not (os.path.exists(path) or os.path.exists(other))  # noqa: PTH110
