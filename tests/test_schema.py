from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from surgeon.catalogue.kinds import KINDS
from surgeon.catalogue.optimizers import OPTIMIZERS
from surgeon.recipe.schema import recipe_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES = [(kind, entry) for kind, entries in KINDS.items() for entry in entries.values()]
ENTRY_IDS = [f"{kind} {entry.name}" for kind, entry in ENTRIES]
# Where each kind is chosen in a recipe.
CHOICES = {
    "backbone": recipe_schema()["properties"]["backbone"]["properties"]["name"],
    "source": recipe_schema()["properties"]["data"]["properties"]["source"],
    "grouping": recipe_schema()["properties"]["data"]["properties"]["split"]["properties"]["group"],
    "resizing": recipe_schema()["properties"]["data"]["properties"]["resize"],
    "head layer": recipe_schema()["properties"]["head"]["items"],
    "optimizer": recipe_schema()["properties"]["phases"]["items"]["properties"]["optimizer"],
    "schedule": recipe_schema()["properties"]["phases"]["items"]["properties"]["lr"],
    "loss": recipe_schema()["properties"]["phases"]["items"]["properties"]["loss"],
    "augmentation": recipe_schema()["properties"]["augment"],
    "preprocessing": recipe_schema()["properties"]["backbone"]["properties"]["preprocessing"],
}


def fragments(schema: Any) -> Iterator[dict[str, Any]]:
    """Yields each mapping inside a schema that is a schema itself."""
    if isinstance(schema, dict):
        if {"type", "enum", "const", "if"} & schema.keys():
            yield schema
        for value in schema.values():
            yield from fragments(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from fragments(value)


def test_the_schema_is_valid_and_plain_json() -> None:
    Draft202012Validator.check_schema(recipe_schema())
    assert json.loads(json.dumps(recipe_schema(), allow_nan=False)) == recipe_schema()


def test_every_default_is_valid() -> None:
    defaults = [fragment for fragment in fragments(recipe_schema()) if "default" in fragment]
    assert len(defaults) > 50
    for fragment in defaults:
        Draft202012Validator(fragment).validate(fragment["default"])


def test_everything_is_described_for_editors() -> None:
    for fragment in fragments(recipe_schema()):
        for name, schema in fragment.get("properties", {}).items():
            assert schema["description"].endswith("."), name


def test_no_mismatch_hides_another() -> None:
    """``anyOf`` and its like report all alternatives at once; a choice is one key and ``if``/``then``/``else``."""
    for fragment in fragments(recipe_schema()):
        assert not {"anyOf", "oneOf", "allOf", "$ref"} & fragment.keys()


@pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=ENTRY_IDS)
def test_every_entry_of_the_catalogue_may_stand_in_a_recipe(kind: str, entry: Any) -> None:
    schema = CHOICES[kind]
    if kind in ("backbone", "preprocessing"):
        assert entry.name in schema["enum"]
        return
    long = schema if kind == "augmentation" else schema["then"]
    fragment = long["properties"][entry.name]
    parameters = fragment.get("then", fragment)
    assert dict(entry.parameters) == parameters["properties"]
    assert list(entry.required) == parameters.get("required", [])
    assert entry.shorthand in (None, next(iter(parameters["properties"]), None))  # what a bare value is completed to
    is_bare = entry.name in schema.get("else", {}).get("enum", ())
    assert is_bare == (kind not in ("augmentation", "schedule") and not entry.required)


@pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=ENTRY_IDS)
def test_every_entry_is_well_formed(kind: str, entry: Any) -> None:
    assert entry.summary.endswith(".")
    assert "\n" not in entry.summary
    assert set(entry.required) <= entry.parameters.keys()
    assert entry.shorthand is None or entry.shorthand in entry.parameters
    # A shorthand alone has to be enough.
    assert entry.shorthand is None or set(entry.required) <= {entry.shorthand}
    for name, schema in entry.parameters.items():
        Draft202012Validator.check_schema(schema)
        assert name not in entry.required or "default" not in schema


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_parameters_of_an_optimizer_are_those_of_keras(optimizer: Any) -> None:
    import keras

    if not hasattr(keras.optimizers, optimizer.keras_name):
        pytest.skip(f"Keras {keras.__version__} is older than the optimizer")
    signature = inspect.signature(getattr(keras.optimizers, optimizer.keras_name))
    ours = {"learning_rate", "name", "loss_scale_factor", "ema_overwrite_frequency", "exclude_layers"}
    keras_defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name not in ours and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert {name: schema.get("default") for name, schema in optimizer.parameters.items()} == keras_defaults


def test_every_optimizer_of_keras_is_in_the_catalogue() -> None:
    import keras

    wrappers = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}
    found = {
        name
        for name, value in vars(keras.optimizers).items()
        if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
    }
    assert found - wrappers <= {optimizer.keras_name for optimizer in OPTIMIZERS.values()}
