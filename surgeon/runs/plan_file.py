"""What a run was to do, as it was known when it began: ``plan.json``, which is never compiled again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.building import load_table
from surgeon.catalogue.kinds import KINDS
from surgeon.catalogue.layer_table import LayerTable, open_model, tabulate
from surgeon.errors import RecipeError, SurgeonError
from surgeon.recipe.bundle import read_bundle
from surgeon.recipe.compiler import compile_known
from surgeon.recipe.complete import complete
from surgeon.recipe.document import document_of, read_document
from surgeon.recipe.keys import Choice, Formerly, Key, dataclass_in, keys_of
from surgeon.recipe.plan import Plan
from surgeon.records import damage_told, read_record, record_of
from surgeon.results.run import RunResult
from surgeon.runs.folder import RERUN, read_result, recipe_of, write_whole

_FILE = "plan.json"
_VERSION = 1
_MOST_BYTES = 1 << 28


@dataclasses.dataclass(frozen=True)
class _PlanFile:
    plan: dict[str, Any]


def write_plan(folder: Path, plan: Plan) -> None:
    """Writes ``plan.json``."""
    record = {"version": _VERSION, "plan": dataclasses.asdict(plan)}
    write_whole(folder / _FILE, json.dumps(record, default=str) + "\n")


def has_plan(folder: Path) -> bool:
    """Tells whether a run has a ``plan.json``, which those of former releases have not."""
    return (folder / _FILE).exists()


def read_plan(folder: Path) -> Plan:
    """Returns what a run was to do; neither its images nor any other file outside of the folder is looked for.

    Raises:
        UsageError: If the folder holds no run.
        SurgeonError: If the file is damaged or a newer surgeon wrote it.
    """
    if not has_plan(folder):
        return _former_plan(folder)
    record = read_record(folder / _FILE, _PlanFile, _MOST_BYTES, RERUN, _VERSION)
    with damage_told(folder / _FILE, RERUN):
        return record_of(_with_later_keys(record.plan, Plan), Plan)


def is_run_of(folder: Path, plan: Plan) -> bool:
    """Tells whether the run in a folder was begun with the recipe of a plan, whatever keys there were then.

    Raises:
        SurgeonError: If its plan is damaged.
    """
    own = read_plan(folder).recipe
    return own == plan.recipe or _with_defaults(own) == plan.recipe


def _with_defaults(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a resolved recipe with the values of later keys, which say what was done without them."""
    former = document_of(_with_former_values(recipe, Plan), Path(str(recipe.get("name"))))
    values = complete(former, ())
    return {key: value for key, value in values.items() if value not in ({}, "")}


def _with_former_values(values: Any, form: Any) -> Any:
    """Returns a part of a recipe with what runs did before there were some keys, where that is not their default."""
    plan = dataclass_in(form)
    if plan is not None and isinstance(values, list):
        return [_with_former_values(item, plan) for item in values]
    if plan is None or not isinstance(values, Mapping):
        return values
    keys = keys_of(plan)
    given = {name: _with_former_values(one, keys[name].form) if name in keys else one for name, one in values.items()}
    marks = ((name, mark) for name, key in keys.items() for mark in key.marks)
    return {name: mark.value for name, mark in marks if isinstance(mark, Formerly)} | given


def _with_later_keys(value: Any, form: Any) -> Any:
    """Returns a plan as it was written, with the defaults of those keys that there were not yet."""
    plan = dataclass_in(form)
    if plan is not None and isinstance(value, list):
        return [_with_later_keys(item, plan) for item in value]
    if plan is None or not isinstance(value, dict):
        return value
    return value | {
        name: _with_later_keys(value[name], key.form) if name in value else _formerly(key)
        for name, key in keys_of(plan).items()
    }


def _formerly(key: Key) -> Any:
    """Returns what runs did before there was a key, as plans are written: its default, unless it says otherwise."""
    default = next((mark.value for mark in key.marks if isinstance(mark, Formerly)), key.schema.get("default"))
    if default is None or key.form is not Choice:
        return default
    schemas = KINDS[key.schema["title"]][default].parameters
    return {
        "name": default,
        "parameters": {name: schema["default"] for name, schema in schemas.items() if "default" in schema},
    }


def read_run(folder: Path) -> tuple[Plan, RunResult]:
    """Returns what a finished run was to do and what it came to.

    Raises:
        UsageError: If the folder holds no run, or one that is not finished.
        SurgeonError: If a file is damaged, or plan and result are not of one run.
    """
    result, plan = read_result(folder), read_plan(folder)
    if [phase.name for phase in plan.phases] != [phase.name for phase in result.phases]:
        raise SurgeonError(f"{folder} has another plan than result", RERUN)
    return plan, result


def _former_plan(folder: Path) -> Plan:
    """Returns the plan of a run from before there was a ``plan.json``: from its recipe and its network."""
    recipe = recipe_of(folder)
    with damage_told(recipe, RERUN):
        document = read_document(recipe)
        bundle = read_bundle(folder)
        name = str((document.values.get("backbone") or {}).get("name"))
        spec = BACKBONES.own.get(name)
        table = load_table(spec, bundle.image_size) if spec else _table_of(folder / bundle.file)
        try:
            return compile_known(document, bundle.classes, table)
        except RecipeError as error:
            raise SurgeonError(f"{recipe} does not go with {folder / bundle.file}: {error.message}", RERUN) from error


def _table_of(network: Path) -> LayerTable:
    """Returns the layers of a run's own network, which begins with those of the model that it was made from."""
    return tabulate(open_model(network))
