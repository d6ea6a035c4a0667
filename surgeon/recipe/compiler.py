"""Document to plan: the one place where a recipe becomes complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.kinds import KINDS
from surgeon.catalogue.layer_table import LayerTable
from surgeon.errors import Diagnostic, RecipeError
from surgeon.recipe.document import Document, read_document
from surgeon.recipe.findings import Findings
from surgeon.recipe.network import Network, activation
from surgeon.recipe.plan import (
    BackbonePlan,
    Choice,
    DataPlan,
    PhasePlan,
    Plan,
    SplitPlan,
    UntilPlan,
)
from surgeon.recipe.text import ValuePath, spell_path
from surgeon.recipe.validate import assume, validate


def validate_recipe(path: Path, overrides: Sequence[str] = ()) -> tuple[Diagnostic, ...]:
    """Returns every problem of a recipe; none if it is well. The images are listed, and not read."""
    try:
        return tuple(validate(read_document(path, overrides), counts_images=True).problems)
    except RecipeError as error:
        return error.diagnostics


def compile_recipe(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """Compiles a recipe.

    Args:
        path: The recipe's file.
        overrides: Assignments such as ``data.split.seed=1``, checked like the file.

    Raises:
        RecipeError: With every problem of the recipe.
    """
    return compile_document(read_document(path, overrides))


def compile_document(document: Document) -> Plan:
    """Compiles a recipe that was read.

    Raises:
        RecipeError: With every problem of the recipe.
    """
    findings = validate(document)
    if findings.problems:
        raise RecipeError(findings.problems)
    return _plan(findings)


def compile_known(document: Document, classes: tuple[str, ...], table: LayerTable) -> Plan:
    """Compiles a recipe that was sound when it was run, without a look at its images or its backbone's file.

    Args:
        document: The resolved recipe.
        classes: Those of its images.
        table: The layers of its backbone; others may follow.

    Raises:
        RecipeError: If it is not sound with these.
    """
    findings = assume(document, classes, table)
    if findings.problems:
        raise RecipeError(findings.problems)
    return _plan(findings)


def _plan(findings: Findings) -> Plan:
    values, network, head = findings.values, findings.network, findings.head
    if network is None or head is None or findings.image_size is None or findings.classes is None:
        raise AssertionError("a recipe without problems has a network, a size and classes")
    data = values["data"]
    recipe = {key: value for key, value in values.items() if value not in ({}, "")}
    return Plan(
        name=values["name"],
        description=values["description"],
        seed=values["seed"],
        data=DataPlan(
            source=_choice(data["source"]),
            image_size=findings.image_size,
            split=SplitPlan(**data["split"]),
            batch_size=data["batch_size"],
            on_leak=data["on_leak"],
            on_bad_image=data["on_bad_image"],
        ),
        augment=tuple(Choice(name, values["augment"][name]) for name in values["augment"] if name != "views"),
        views=values["augment"].get("views", 0),
        backbone=_backbone(values["backbone"], network),
        head=head,
        loss_from_logits=activation(head[-1]) != "softmax",
        phases=tuple(_phase(phase, network) for phase in values["phases"]),
        features=values["features"],
        features_dtype=values["features_dtype"],
        engine=values["engine"],
        precision=values["precision"],
        deterministic=values["deterministic"],
        linear_probe=values["evaluate"]["linear_probe"],
        expected=values["expected"],
        classes=findings.classes,
        network=network,
        recipe=recipe,
        origins={spell_path(path): origin for path, origin in _origins(recipe, (), findings.document)},
    )


def _choice(value: Mapping[str, Any]) -> Choice:
    ((name, parameters),) = value.items()
    return Choice(name, parameters)


def _backbone(values: Mapping[str, Any], network: Network) -> BackbonePlan:
    name = values.get("name")
    return BackbonePlan(
        name=name,
        model=Path(values["model"]) if "model" in values else None,
        preprocessing=BACKBONES[name].preprocessing if name else values["preprocessing"],
        weights=values.get("weights"),
        cut=network.cut_row.name,
    )


def _phase(values: Mapping[str, Any], network: Network) -> PhasePlan:
    wanted = values["trainable"]
    rows = network.select(wanted if isinstance(wanted, list) else [wanted])
    return PhasePlan(
        name=values["name"],
        trainable=tuple(row.name for row in rows if row.trainable),
        batch_norm=values["batch_norm"],
        optimizer=_choice(values["optimizer"]),
        lr=_choice(values["lr"]),
        epochs=values["epochs"],
        until=UntilPlan(**values["until"]) if "until" in values else None,
        class_weight=values.get("class_weight"),
        label_smoothing=values["label_smoothing"],
    )


def _origins(value: Any, path: ValuePath, document: Document) -> Iterator[tuple[ValuePath, str]]:
    """Yields where each scalar of the resolved recipe comes from."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _origins(item, (*path, key), document)
    elif isinstance(value, list) and value:
        for at, item in enumerate(value):
            yield from _origins(item, (*path, at), document)
    else:
        yield path, _origin(path, document)


def _origin(path: ValuePath, document: Document) -> str:
    """Returns the position of a value, of the shorthand that it was written as, or ``default``."""
    known = path
    while known not in document.locations:
        known = known[:-1]
    written: Any = document.values
    for part in known:
        written = written[part]
    unwritten = path[len(known) :]
    is_written = not unwritten or unwritten == (written,) or _is_shorthand(written, unwritten[-1], path)
    return str(document.location(known)) if is_written else "default"


def _is_shorthand(written: Any, parameter: str | int, path: ValuePath) -> bool:
    """Tells whether a value that was written without its parameter's name sets the parameter at ``path``."""
    shorthands = [entries[str(part)].shorthand for entries in KINDS.values() for part in path[-2:-1] if part in entries]
    return not isinstance(written, Mapping) and parameter in shorthands
