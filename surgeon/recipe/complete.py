"""The compiler's first step: shorthands to their long forms, paths to absolute ones, defaults filled in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.kinds import KINDS
from surgeon.errors import Diagnostic, SurgeonError
from surgeon.recipe.bundle import MODEL, NETWORK, read_bundle
from surgeon.recipe.document import Document
from surgeon.recipe.schema import recipe_schema
from surgeon.recipe.text import ValuePath, spell_path

Values = dict[str, Any]


def complete(document: Document, problems: Iterable[Diagnostic]) -> Values:
    """Returns a recipe's values in their long form, with the defaults that the schema and the catalogue give.

    A value that has a problem is None in the result, so that what is sound can still be checked.
    """
    values = _without(document.values, (), {problem.path for problem in problems})
    properties = recipe_schema()["properties"]
    unless_given = {"name": document.path.stem, "augment": {}, "evaluate": {}, "expected": {}}
    recipe = _filled(properties, unless_given | (values if isinstance(values, dict) else {}))
    if recipe["evaluate"] is not None:
        recipe["evaluate"] = _filled(properties["evaluate"]["properties"], recipe["evaluate"])
    if recipe["augment"] is not None:
        recipe["augment"] = {
            name: given if name == "views" else _parameters("augmentation", name, given)
            for name, given in recipe["augment"].items()
        }
    if recipe["expected"] is not None:
        recipe["expected"] = {
            name: given if isinstance(given, dict) else given and {"mean": given}
            for name, given in recipe["expected"].items()
        }
    backbone = recipe.get("backbone")
    if backbone is not None:
        recipe["backbone"] = _backbone(backbone, properties["backbone"]["properties"], document)
    if recipe.get("data") is not None:
        recipe["data"] = _data(recipe["data"], properties["data"]["properties"], recipe.get("backbone"), document)
    if recipe.get("head") is not None:
        recipe["head"] = [_chosen("head layer", layer) for layer in recipe["head"]]
    if recipe.get("phases") is not None:
        phase_properties = properties["phases"]["items"]["properties"]
        recipe["phases"] = [
            None if phase is None else _phase(phase, phase_properties, number)
            for number, phase in enumerate(recipe["phases"], 1)
        ]
    return recipe


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


def _filled(properties: Mapping[str, Any], given: Mapping[str, Any]) -> Values:
    """Returns the known ones of ``given`` and the schema's defaults, in the schema's order."""
    filled = {}
    for name, schema in properties.items():
        if name in given or "default" in schema:
            filled[name] = _typed(given.get(name, schema.get("default")), schema)
    return filled


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """Returns 32 for 32.0 where an integer is asked for, and 1.0 for 1 where Keras would count on in integers."""
    if isinstance(value, list):
        items = schema.get("then", schema).get("items", {})
        return [_typed(item, items) for item in value]
    if schema.get("type") == "number" and value is not None:
        return float(value)
    return int(value) if isinstance(value, float) and "integer" in schema.get("type", ()) else value


def _chosen(kind: str, value: Any) -> Values | None:
    """Returns ``{name: parameters}`` with all parameters, for any way to write a choice."""
    if kind == "schedule" and isinstance(value, int | float):
        value = {"constant": value}
    if isinstance(value, str):
        value = {value: {}}
    if value is None or value.keys() - KINDS[kind].keys():
        return None
    return {name: _parameters(kind, name, given) for name, given in value.items()}


def _parameters(kind: str, name: str, given: Any) -> Values | None:
    entry = KINDS[kind].get(name)
    if entry is None or given is None:
        return None
    if not isinstance(given, dict):
        given = {entry.shorthand: given}
    return _filled(entry.parameters, given) if given.keys() >= set(entry.required) else None


def _backbone(given: Values, properties: Mapping[str, Any], document: Document) -> Values:
    backbone = _filled(properties, given)
    if "model" in backbone:
        backbone["model"] = _absolute(backbone["model"], document, ("backbone", "model"))
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
    return backbone


def _folder_of_a_bundle(backbone: Values) -> Path | None:
    """Returns the folder of a run or an export that is meant as a backbone, or None if a file is.

    ``RUN/model.keras`` prepares pixels itself. Who says how they are to be prepared means the network inside it.
    """
    model = Path(backbone["model"] or "")
    if os.path.isdir(model):  # noqa: PTH112 - also of a path that is too long
        return model
    prepares_twice = model.name == MODEL and backbone.get("preprocessing") not in (None, "none")
    return model.parent if prepares_twice and os.path.isfile(model.with_name(NETWORK)) else None  # noqa: PTH113


def _data(given: Values, properties: Mapping[str, Any], backbone: Values | None, document: Document) -> Values:
    data = _filled(properties, given)
    split = given.get("split", {})
    data["split"] = None if split is None else _filled(properties["split"]["properties"], split)
    source = _chosen("source", data.get("source"))
    for name, parameters in (source or {}).items():
        for key, schema in KINDS["source"][name].parameters.items():
            if parameters is not None and schema.get("format") == "path" and key in parameters:
                parameters[key] = _absolute(parameters[key], document, ("data", "source", name, key))
    if "image_size" not in data and backbone is not None and backbone.get("name") in BACKBONES:
        data["image_size"] = BACKBONES[backbone["name"]].image_size
    return {**data, "source": source}


def _phase(given: Values, properties: Mapping[str, Any], number: int) -> Values:
    phase = {"name": f"phase {number}", **_filled(properties, given)}
    phase["optimizer"] = _chosen("optimizer", phase["optimizer"])
    phase["lr"] = _chosen("schedule", phase.get("lr"))
    if isinstance(phase.get("until"), dict):
        phase["until"] = _filled(properties["until"]["properties"], phase["until"])
    return phase


def _absolute(path: str | None, document: Document, at: ValuePath) -> str | None:
    if path is None:
        return None
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:  # a tilde and the name of nobody
        expanded = Path(path)
    return str((document.folder(at) / expanded).absolute())
