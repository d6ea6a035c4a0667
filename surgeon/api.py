"""The front door: what a program, a notebook and the command line do with recipes and runs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Collection, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.building import load_table
from surgeon.catalogue.entry import find
from surgeon.catalogue.layer_table import LayerTable
from surgeon.catalogue.sources import source_of
from surgeon.data.checks import CheckedImages, by_severity, check_images
from surgeon.data.dataset import index_images
from surgeon.data.draft import draft_recipe
from surgeon.data.survey import survey_images
from surgeon.errors import RunInterruptedError, SurgeonError, UsageError, quote, require_modules
from surgeon.recipe.compiler import compile_document, compile_recipe
from surgeon.recipe.document import overridden, parse_document
from surgeon.recipe.plan import Plan
from surgeon.results.events import Event, Note
from surgeon.results.subscribers import Subscriber, Tracker, broadcast, drive, find_trackers, watched_by
from surgeon.run import Run
from surgeon.runs.checkpoint import rewind
from surgeon.runs.folder import (
    create_run_folder,
    finish_run,
    holds_run,
    is_begun,
    is_finished,
    new_folder,
    record_event,
    removed_unless,
    run_in_use,
)
from surgeon.runs.lock import read_lock
from surgeon.runs.plan_file import has_plan, is_run_of, read_run, write_plan

# Of a folder without a recipe nothing is held out but what it holds out itself, and nothing is trained.
_FOLDER_OVERRIDES = ("data.split={test: 0, validation: 0}", "phases=[{trainable: head, lr: 0.001, epochs: 1}]")


def load_recipe(path: str | Path, overrides: Mapping[str, object] | None = None) -> Plan:
    """Reads and checks a recipe.

    Args:
        path: The recipe's file.
        overrides: New values for some of its keys, such as ``phases[1].lr``, checked like the file: numbers (also
            NumPy's), strings, paths, lists or mappings. Relative paths start from the current folder.

    Returns:
        The complete plan: every name resolved, every default filled in.

    Raises:
        RecipeError: With all problems of the recipe at once, each with file, line and column.
        UsageError: If an override is of another type.

    Examples:
        >>> surgeon.load_recipe("photos.yaml", {"phases[1].lr": 1e-4}).phases[1].lr.parameters["value"]
        0.0001
    """
    return compile_recipe(Path(path), [f"{key}={_yaml_of(key, value)}" for key, value in (overrides or {}).items()])


def train(
    recipe: Plan | str | Path,
    folder: str | Path | None = None,
    *,
    on_event: Subscriber | None = None,
    log: Collection[Tracker | str] | str = (),
) -> Run:
    """Trains a recipe phase by phase, evaluates the result, and writes everything into a folder.

    Ctrl-C stops after the current step. Training again into the same folder continues from there, with the same result
    as without the interruption.

    Args:
        recipe: A plan, or a recipe's file.
        folder: Where the run is written: a new folder, or that of an unfinished run; by default ``runs/NAME-TIME``.
        on_event: Called with every event: progress, notes, epochs, phases; ``surgeon.show_progress`` prints them. If it
            raises, it is not called again, a warning says why, and the run continues; a KeyboardInterrupt stops it.
        log: Additional loggers: ``tensorboard``, ``mlflow`` or both.

    Raises:
        UsageError: If ``on_event`` is not a function, or the folder holds something else, such as a run that is
            finished or of another recipe.
        SurgeonError: If the images or the weights are not what the plan needs, or training diverges.
        RunInterruptedError: After Ctrl-C.

    Examples:
        >>> run = surgeon.train("photos.yaml", "runs/night")
        >>> run.result.evaluation.accuracy
        0.968
    """
    watching = watched_by(on_event)
    trackers = find_trackers(log)
    plan = recipe if isinstance(recipe, Plan) else load_recipe(recipe)
    path = new_folder(plan.name) if folder is None else Path(folder)
    if is_finished(path):
        hint = f"open it with `surgeon.open_run({str(path)!r})`, or give another folder"
        raise UsageError(f"{path} holds a finished run, which is never overwritten", hint)
    if holds_run(path):
        if has_plan(path) and not is_run_of(path, plan):
            raise UsageError(f"{path} holds a run of another recipe", "resume that one, or give another folder")
        _train_into(path, plan, watching, trackers)
    else:
        with removed_unless(is_begun, path):
            create_run_folder(plan, path)
            _train_into(path, plan, watching, trackers)
    return Run(path)


def reproduce(run: Run, folder: str | Path | None = None, *, on_event: Subscriber | None = None) -> Run:
    """Repeats the training of a finished run in a new folder, with notes on what differs.

    Raises:
        UsageError: If the run is not finished, or the folder is not empty.
        SurgeonError: As for ``train``; the images are needed again.
    """
    watching = watched_by(on_event)
    plan, _ = read_run(run.folder)
    path = new_folder(plan.name) if folder is None else Path(folder)
    with removed_unless(is_begun, path):
        create_run_folder(plan, path)
        _train_into(path, plan, watching, (), read_lock(run.folder) or {})
    return Run(path)


def check(
    source: Plan | str | Path,
    *,
    labels: bool = False,
    on_event: Subscriber | None = None,
) -> CheckedImages:
    """Looks for problems with images: unreadable files, duplicates, images in two splits, wrong labels.

    Args:
        source: A plan, a recipe's file, or a folder of class folders.
        labels: Whether to look for wrong labels too, by the features of every image; needs the extra ``labels``.
        on_event: Called with progress events.

    Returns:
        The images and the findings, most severe first.

    Examples:
        >>> [finding.kind for finding in surgeon.check("photos").findings]
        ['duplicate']
    """
    watching = watched_by(on_event)
    plan = source if isinstance(source, Plan) else plan_to_check(Path(source))
    if labels:
        require_modules("the label check", ("cleanlab",), "labels")
    return drive(_look_at(plan, labels=labels), watching)


def layers(network: str) -> LayerTable:
    """Returns the layers of a backbone with their indices, at its own image size.

    Raises:
        UsageError: If there is no such backbone.
        SurgeonError: If it is another package's and cannot be built.

    Examples:
        >>> surgeon.layers("vgg16").rows[18].name
        'block5_pool'
    """
    spec = find("backbone", BACKBONES, network)
    return load_table(spec, (spec.image_size, spec.image_size))


def _yaml_of(key: str, value: object) -> str:
    """Returns a value of ``overrides`` as YAML, of which JSON is a part."""

    def plain(inner: object) -> object:
        if isinstance(inner, os.PathLike):
            return os.fspath(inner)
        if isinstance(inner, np.generic):
            return inner.item()
        raise UsageError(
            f"{key}: expected a number, text, a path, a list or a mapping, found {type(inner).__name__} {quote(inner)}"
        )

    return json.dumps(value, default=plain)


def _train_into(
    folder: Path,
    plan: Plan,
    watching: Subscriber,
    log: Collection[Tracker],
    repeated: Mapping[str, Any] | None = None,
) -> None:
    """Does what is left of the run in a folder; what was written before an error stays."""
    go_on = f"continue with `surgeon resume {folder}` or, in Python, `surgeon.train(recipe, {str(folder)!r})`"
    try:
        with run_in_use(folder):
            if not has_plan(folder):
                write_plan(folder, plan)
            rewind(plan, folder)
            # Loading these takes seconds: what is wrong with the folder is said before, and Ctrl-C counts already.
            from surgeon.publishing.page import publish
            from surgeon.training.interrupt import until_interrupted
            from surgeon.training.runner import run
            from surgeon.training.trackers import tracked

            with tracked(log, plan, folder, lambda text: watching(Note(text))) as track:
                tell = broadcast([partial(record_event, folder), track, watching])
                result = drive(until_interrupted(run(plan, folder, repeated), tell), tell)
                finish_run(folder, result)
                go_on = f"the run itself is finished; `surgeon report {folder}` writes the missing files"
                drive(publish(plan, folder, result), watching)
                track(result)
    except RunInterruptedError as error:
        error.hint = go_on
        raise
    except KeyboardInterrupt as error:
        raise RunInterruptedError(signal.SIGINT, go_on) from error
    except OSError as error:
        where = error.filename or folder
        remedy = f"fix the cause; {go_on if is_begun(folder) else 'then start again'}"
        raise SurgeonError(f"cannot use {where}: {error.strerror or error}", remedy) from error


def plan_to_check(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """Compiles a recipe, or for images the one that ``surgeon init`` would write, without writing it."""
    kind = source_of(path)
    if kind == "folder" and not path.is_dir():
        return compile_recipe(path, overrides)
    images = path.resolve()
    drafted = images.parent / "check.yaml"
    text = draft_recipe(survey_images(images), drafted)
    source = f"data.source.{kind}.path={json.dumps(str(images))}"
    document = parse_document(text.encode(), drafted)
    return compile_document(overridden(document, [source, *_FOLDER_OVERRIDES, *overrides]))


def _look_at(plan: Plan, *, labels: bool) -> Generator[Event, None, CheckedImages]:
    index = yield from index_images(plan.data)
    findings = yield from check_images(index, plan.data.split.group.name, plan.data.resizing)
    if labels:
        from surgeon.features.label_issues import check_labels

        findings += yield from check_labels(plan, index)
    return CheckedImages(index, by_severity(findings))
