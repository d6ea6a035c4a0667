"""Document to plan: the one place where a recipe becomes complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from surgeon.catalogue.augmentations import changes_images
from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.kinds import KINDS
from surgeon.catalogue.layer_table import LayerTable
from surgeon.errors import Diagnostic, RecipeError
from surgeon.recipe.combinations import check_combinations
from surgeon.recipe.data_plan import DataPlan
from surgeon.recipe.document import Document, read_document
from surgeon.recipe.findings import Findings
from surgeon.recipe.keys import Choice, dataclass_in, keys_of
from surgeon.recipe.network import Network, activation
from surgeon.recipe.plan import BackbonePlan, PhasePlan, Plan
from surgeon.recipe.space import base_of, read_spaces
from surgeon.recipe.text import ValuePath, first_problems, spell_path
from surgeon.recipe.validate import assume, validate

Form = TypeVar("Form")


def validate_recipe(path: Path, overrides: Sequence[str] = ()) -> tuple[Diagnostic, ...]:
    """Returns every problem of a recipe; none if it is well. The images are listed, and not read."""
    try:
        return check_document(read_document(path, overrides), counts_images=True)
    except RecipeError as error:
        return error.diagnostics


def check_document(document: Document, *, counts_images: bool = False) -> tuple[Diagnostic, ...]:
    """Returns every problem of a recipe that was read, those of the recipes that its sweep makes among them."""
    findings = validate(document, counts_images=counts_images)
    problems, recipe = findings.problems, _resolved(findings)
    if recipe.get("sweep"):
        spaces, _ = read_spaces(document, recipe["sweep"])
        of_trials = check_combinations(base_of(document, recipe), spaces)
        if any(not problem.path.startswith("sweep") for problem in problems):
            # What is wrong with the recipe is wrong with every trial, and is said already.
            varied = {one.location for space in spaces for one in space}
            of_trials = [problem for problem in of_trials if problem.location in varied]
        problems += of_trials
        problems.sort(key=lambda problem: (problem.location.line or 0, problem.location.column or 0))
    return tuple(first_problems(problems))


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
    recipe = _resolved(findings)
    changes = {name: values["augment"][name] for name in values["augment"] if name != "views"}
    augment = tuple(Choice(name, parameters) for name, parameters in changes.items() if changes_images(parameters))
    of_features = tuple(Choice(name, found) for name, found in changes.items() if found.get("of") == "features")
    return _built(
        Plan,
        {**values, **values["evaluate"]},
        data=_built(DataPlan, values["data"], image_size=findings.image_size),
        augment=augment,
        views=values["augment"].get("views", 0) if augment else 0,
        feature_changes=of_features,
        backbone=_backbone(values["backbone"], network),
        head=head,
        loss_from_logits=activation(head[-1]) != "softmax",
        phases=tuple(_phase(phase, network) for phase in values["phases"]),
        classes=findings.classes,
        network=network,
        recipe=recipe,
        origins={spell_path(path): origin for path, origin in _origins(recipe, (), findings.document)},
    )


def _resolved(findings: Findings) -> dict[str, Any]:
    return {key: value for key, value in findings.values.items() if value not in ({}, "")}


def _backbone(values: Mapping[str, Any], network: Network) -> BackbonePlan:
    name = values.get("name")
    preprocessing = BACKBONES[name].preprocessing if name else values["preprocessing"]
    return _built(BackbonePlan, values, preprocessing=preprocessing, cut=network.cut_row.name)


def _phase(values: Mapping[str, Any], network: Network) -> PhasePlan:
    wanted = values["trainable"]
    rows = network.select(wanted if isinstance(wanted, list) else [wanted])
    scales = {
        row.name: scale
        for selector, scale in values.get("lr_scale", {}).items()
        for row in network.select([selector])
        if row.trainable
    }
    return _built(PhasePlan, values, trainable=tuple(row.name for row in rows if row.trainable), lr_scale=scales)


def _built(form: Callable[..., Form], values: Mapping[str, Any], **resolved: Any) -> Form:
    """Returns a plan: what is resolved, and otherwise what the completed recipe gives for its keys."""
    keys = {name: key for name, key in keys_of(form).items() if name not in resolved}
    return form(**{name: _held(values.get(name), key.form) for name, key in keys.items()}, **resolved)


def _held(value: Any, form: Any) -> Any:
    """Returns a completed value in the form that a plan holds it in."""
    if value is None:
        return None
    if Path in get_args(form):
        return Path(value)
    nested = dataclass_in(form)
    if nested is Choice:
        return Choice(*next(iter(value.items())))
    return _built(nested, value) if nested else value


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
