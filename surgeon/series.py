"""Runs of one recipe in series: with other seeds, or with each part of the images held out in turn."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surgeon.api import load_recipe, train
from surgeon.errors import SurgeonError, UsageError
from surgeon.evaluation.measures import evaluate
from surgeon.recipe.compiler import compile_document
from surgeon.recipe.document import document_of
from surgeon.recipe.plan import Plan
from surgeon.results.events import Note
from surgeon.results.run import Evaluation, Spread, headline_figures, spread_of
from surgeon.results.subscribers import Subscriber, Tracker, drive, watched_by
from surgeon.run import Run, open_run
from surgeon.runs.folder import (
    REPORT,
    Predictions,
    check_is_free,
    holds_run,
    is_finished,
    new_folder,
    read_predictions,
    read_splits,
    write_predictions,
    write_whole,
)
from surgeon.runs.plan_file import is_run_of

_FOLDS = 5
_SUMMARY = "series.json"


@dataclass(frozen=True)
class Series:
    """Runs of one recipe and their results.

    Attributes:
        folder: Where their folders are.
        runs: In their order.
        figures: What each came to, by name, from 0 to 1.
        evaluation: For a cross-validation: over all images, each tested by the network not trained on it. Its
            probabilities are in ``predictions.csv``. None for runs with other seeds.

    Examples:
        >>> surgeon.repeat("photos.yaml", 5).figures["network accuracy"].mean
        0.968
    """

    folder: Path
    runs: tuple[Run, ...]
    figures: Mapping[str, Spread]
    evaluation: Evaluation | None = None


def repeat(
    recipe: Plan | str | Path,
    seeds: int = 5,
    folder: str | Path | None = None,
    *,
    on_event: Subscriber | None = None,
    log: Collection[Tracker | str] | str = (),
) -> Series:
    """Trains a recipe with its seed and the ones that follow, on the same images.

    Finished runs in the folder are reused, and unfinished ones are resumed.

    Args:
        recipe: A plan, or a recipe's file.
        seeds: How many.
        folder: Where the runs go, as ``seed-7``; by default ``runs/NAME-TIME``.
        on_event: Is told of every event, as in ``surgeon.train``.
        log: As in ``surgeon.train``.

    Raises:
        UsageError: If a run of another recipe is in the way, or the recipe asks for folds and not for one of them.
        SurgeonError: If there are no test images, or a run fails.

    Examples:
        >>> surgeon.repeat("photos.yaml", 3).figures["network accuracy"].std
        0.004
    """
    plan = _plan(recipe)
    if seeds < 1:
        raise UsageError(f"expected 1 seed or more, found {seeds}")
    if plan.data.folds is not None and plan.data.fold is None:
        raise UsageError(
            "the recipe asks for a cross-validation (data.folds), which does not go with several seeds",
            "name the fold to repeat, data.fold: 1, or leave out data.folds",
        )
    plans = {f"seed-{seed}": _with(plan, {"seed": seed}) for seed in range(plan.seed, plan.seed + seeds)}
    return _train_each(plans, new_folder(plan.name) if folder is None else Path(folder), on_event, log)


def cross_validate(
    recipe: Plan | str | Path,
    folds: int | None = None,
    folder: str | Path | None = None,
    *,
    on_event: Subscriber | None = None,
    log: Collection[Tracker | str] | str = (),
) -> Series:
    """Trains a recipe once for each part of the images, and tests each network on the part that it did not see.

    Parts are of about the same size, stratified by class; images of one group are in one part. What frozen layers
    compute is kept from one run to the next, as far as it is kept on disk. Finished runs in the folder are reused,
    and unfinished ones are resumed.

    Args:
        recipe: A plan, or a recipe's file.
        folds: How many parts; by default what the recipe says, or 5.
        folder: Where the runs go, as ``fold-1``; by default ``runs/NAME-TIME``.
        on_event: Is told of every event, as in ``surgeon.train``.
        log: As in ``surgeon.train``.

    Raises:
        UsageError: If a run of another recipe or other files are in the way.
        SurgeonError: If a class has fewer images than there are folds, or a run fails.

    Examples:
        >>> surgeon.cross_validate("photos.yaml", 5).evaluation.accuracy
        0.961
    """
    plan = _plan(recipe)
    count = folds or plan.data.folds or _FOLDS
    data = {**plan.recipe["data"], "folds": count}
    plans = {f"fold-{fold}": _with(plan, {"data": {**data, "fold": fold}}) for fold in range(1, count + 1)}
    path = new_folder(plan.name) if folder is None else Path(folder)
    if not any((path / name).exists() for name in plans):
        check_is_free(path)  # since there will be predictions and a page in it
    return _put_together(_train_each(plans, path, on_event, log), watched_by(on_event))


def _plan(recipe: Plan | str | Path) -> Plan:
    return recipe if isinstance(recipe, Plan) else load_recipe(recipe)


def _with(plan: Plan, changes: Mapping[str, Any]) -> Plan:
    """Returns the plan of a recipe with other values for some keys."""
    changed = compile_document(document_of({**plan.recipe, **changes}, Path(plan.name)))
    return replace(changed, origins={**changed.origins, **plan.origins})


def _train_each(
    plans: Mapping[str, Plan], parent: Path, on_event: Subscriber | None, log: Collection[Tracker | str] | str
) -> Series:
    """Trains plans into folders of their own."""
    watching = watched_by(on_event)
    folders = [parent / name for name in plans]
    for plan, folder in zip(plans.values(), folders, strict=True):
        if holds_run(folder) and not is_run_of(folder, plan):
            raise UsageError(f"{folder} is a run of another recipe", "give another folder (--out)")
    runs = []
    for plan, folder in zip(plans.values(), folders, strict=True):
        watching(Note(folder.name.replace("-", " ")))
        runs.append(open_run(folder) if is_finished(folder) else train(plan, folder, on_event=watching, log=log))
    _check_images(folders)
    figures = [headline_figures(run.result) for run in runs]
    shared = [name for name in figures[0] if all(name in own for own in figures)]
    if not shared:
        raise SurgeonError("there are no test images, so nothing was measured", "hold some out: data.split.test: 0.2")
    return _kept(Series(parent, tuple(runs), {name: spread_of([own[name] for own in figures]) for name in shared}))


def _check_images(folders: Sequence[Path]) -> None:
    """Makes sure that runs, some of which may be older, are of the same images."""
    first, *others = (read_splits(folder).keys() for folder in folders)
    for folder, images in zip(folders[1:], others, strict=True):
        if images != first:
            raise SurgeonError(
                f"{folders[0]} and {folder} have different images, so their results cannot be combined",
                "photographs were added, changed or removed between them; start again in another folder (--out)",
            )


def _put_together(series: Series, watching: Subscriber) -> Series:
    """Measures all that the runs of a cross-validation said, and writes that and a page of the runs."""
    from surgeon.publishing.comparison import read_runs, write_comparison

    told = [found for run in series.runs if (found := read_predictions(run.folder)) is not None]
    together = _joined(told)
    write_predictions(series.folder, together)
    evaluation = evaluate("test", together.labels, together.predicted, together.classes)
    page = series.folder / REPORT
    try:
        drive(write_comparison(read_runs([run.folder for run in series.runs]), page, evaluation), watching)
    except Exception as error:  # a picture that cannot be drawn loses nothing that was measured
        watching(Note(f"no {page.name}: {error}"))
    return _kept(Series(series.folder, series.runs, series.figures, evaluation))


def series_record(series: Series) -> dict[str, Any]:
    """Returns the JSON form of what runs came to together, which is ``series.json``."""
    record: dict[str, Any] = {
        "runs": [str(run.folder) for run in series.runs],
        "figures": {name: dataclasses.asdict(spread) for name, spread in series.figures.items()},
    }
    return record if series.evaluation is None else {**record, "evaluation": dataclasses.asdict(series.evaluation)}


def _kept(series: Series) -> Series:
    """Writes ``series.json``, in which runs have their names in the series' folder."""
    record = {"version": 1, **series_record(series), "runs": [run.folder.name for run in series.runs]}
    write_whole(series.folder / _SUMMARY, json.dumps(record, indent=1) + "\n")
    return series


def _joined(told: Sequence[Predictions]) -> Predictions:
    return Predictions(
        classes=told[0].classes,
        files=tuple(file for one in told for file in one.files),
        labels=np.concatenate([one.labels for one in told]),
        probabilities=np.concatenate([one.probabilities for one in told]),
    )
