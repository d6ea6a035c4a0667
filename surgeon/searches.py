"""The front door to searches: where to cut, from where to train, which rate, and all of it at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from surgeon.api import load_recipe, train
from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.entry import find
from surgeon.data.draft import Choices
from surgeon.errors import RunInterruptedError, SurgeonError, UsageError, did_you_mean, quote, reason_of
from surgeon.planning.cuts import starts_to_try
from surgeon.recipe.compiler import compile_document
from surgeon.recipe.document import Document, document_of, read_document
from surgeon.recipe.plan import Plan
from surgeon.recipe.sweep import Sweep, open_sweep
from surgeon.results.depth import DepthSearchResult
from surgeon.results.events import Note
from surgeon.results.lr_range import LrRangeResult
from surgeon.results.probe import ProbeResult
from surgeon.results.run import figure, spread_of
from surgeon.results.subscribers import Subscriber, drive, watched_by
from surgeon.results.sweep import FinalResult, SweepResult
from surgeon.run import open_run
from surgeon.runs.folder import is_finished, removed_unless, run_in_use
from surgeon.runs.sweep_folder import (
    BEST,
    PAGE,
    begin_sweep,
    has_result,
    has_trials,
    holds_sweep,
    new_sweep_folder,
    read_sweep,
    write_sweep,
)


def probe(
    recipe: Plan | str | Path,
    backbones: Collection[str] | str = (),
    *,
    every_layer: bool = False,
    on_event: Subscriber | None = None,
) -> ProbeResult:
    """Finds out where to cut: the accuracy of a linear classifier on a network's features at each cut.

    A logistic regression is fitted to the pooled features of each cut, in a cross-validation on the training and
    validation images; test images are not used. What the layers compute is kept for later searches and runs.

    Args:
        recipe: A plan, or a recipe's file; only its images and its backbone count.
        backbones: Names of networks to measure instead of its backbone.
        every_layer: Whether to measure every layer, not only the ends of blocks.
        on_event: Is told of progress.

    Raises:
        SurgeonError: If the images or the weights are not what the recipe needs.

    Examples:
        >>> surgeon.probe("photos.yaml", ["vgg16", "mobilenetv2"]).suggested.cut
        'block_13_project_BN'
    """
    watching = watched_by(on_event)
    plan = recipe if isinstance(recipe, Plan) else load_recipe(recipe)
    names = [backbones] if isinstance(backbones, str) else backbones
    names = [find("backbone", BACKBONES, name).name for name in names]
    from surgeon.search.probe import probe as probing

    return drive(probing(plan, names, every_layer=every_layer), watching)


def depth(
    recipe: Plan | str | Path, *, epochs: int = 5, seeds: int = 1, on_event: Subscriber | None = None
) -> DepthSearchResult:
    """Finds the first layer to train: the head alone, then from each block on, each for the same number of epochs.

    The last phase of the recipe is varied, at 0.3, 1 and 3 times its learning rate, after the phases before it, which
    train the head alone. Accuracies are those of the validation images, or of a fifth of the training images if there
    are none.

    Args:
        recipe: A plan, or a recipe's file.
        epochs: Of each trial.
        seeds: Trials of each depth and rate.
        on_event: Is told of progress.

    Raises:
        UsageError: If the recipe has one phase only and its head does not begin with a linear probe, or a phase before
            the last trains more than the head.
        SurgeonError: If the images or the weights are not what the recipe needs, or training diverges everywhere.

    Examples:
        >>> surgeon.depth("photos.yaml").suggested.start
        'block6c_expand_conv..'
    """
    watching = watched_by(on_event)
    if epochs < 1 or seeds < 1:
        raise UsageError(f"expected epochs and seeds of 1 or more, found {epochs} and {seeds}")
    plan = recipe if isinstance(recipe, Plan) else load_recipe(recipe)
    from surgeon.search.depth import depth as trying

    return drive(trying(plan, epochs, seeds), watching)


def lr_range(
    recipe: Plan | str | Path, phase: str | None = None, *, on_event: Subscriber | None = None
) -> LrRangeResult:
    """Finds a learning rate for a phase: its loss over a few steps at increasing rates, after the phases before it.

    Args:
        recipe: A plan, or a recipe's file.
        phase: The phase's name; by default the first.
        on_event: Is told of progress.

    Raises:
        UsageError: If there is no such phase.
        SurgeonError: If the images or the weights are not what the recipe needs, or a phase before it diverges.

    Examples:
        >>> surgeon.lr_range("photos.yaml", "fine-tune").suggested
        0.00023
    """
    watching = watched_by(on_event)
    plan = recipe if isinstance(recipe, Plan) else load_recipe(recipe)
    names = [one.name for one in plan.phases]
    if phase is not None and phase not in names:
        raise UsageError(f"no phase is called {quote(phase)}", did_you_mean(phase, names) or f"there is {names[0]!r}")
    from surgeon.search.lr_range import lr_range as testing

    return drive(testing(plan, 1 if phase is None else names.index(phase) + 1), watching)


def sweep(
    recipe: Plan | str | Path,
    folder: str | Path | None = None,
    *,
    final: int = 0,
    storage: str | None = None,
    on_event: Subscriber | None = None,
) -> SweepResult:
    """Tries many recipes: what ``sweep`` in a recipe varies, at little more than the cost of one run.

    What frozen layers compute is shared by all trials, and heads of one shape are trained together. The test images are
    used only for the final evaluation of the best recipe. Ctrl-C stops after the current step; with the same
    folder it continues from there.

    Args:
        recipe: A plan or a recipe's file, with a ``sweep``.
        folder: Where its files go: a new folder, or that of a sweep of the same recipe; by default
            ``sweeps/NAME-TIME``.
        final: With how many seeds to train the best recipe in the end and evaluate it on the test images.
        storage: The URL of the database in which Optuna keeps its study, as SQLAlchemy spells it; by default an SQLite
            file in the folder.
        on_event: Called with progress events and every trial that ended.

    Raises:
        RecipeError: With all problems of the recipe, of what is varied and of the combinations.
        UsageError: If the folder holds something else.
        SurgeonError: If the images are not what the recipe needs, no trial finished, or the storage cannot be used.
        RunInterruptedError: After Ctrl-C.

    Examples:
        >>> found = surgeon.sweep("photos.yaml", "sweeps/photos", final=3)
        >>> found.best.values, found.best.objective
        ({'phases[1].lr.cosine.peak': 0.00031}, 0.972)
    """
    if final < 0:
        raise UsageError(f"expected final of 0 or more, found {final}")
    if isinstance(recipe, Plan):
        searched = open_sweep(document_of(recipe.recipe, Path(recipe.name)))
    else:
        searched = open_sweep(read_document(Path(recipe)))
    path = new_sweep_folder(searched.plan.name) if folder is None else Path(folder)
    return sweep_opened(searched, path, final, storage, watched_by(on_event))


def sweep_opened(searched: Sweep, path: Path, final: int, storage: str | None, watching: Subscriber) -> SweepResult:
    """Does what ``sweep`` does, of a sweep that was checked."""
    if searched.plan.data.folds is not None and searched.plan.data.fold is None:
        raise UsageError(
            "a sweep uses all folds but one (data.folds), so cross-validating its best recipe would be optimistic",
            "name the fold that it must not use, data.fold: 1; sweep.folds cross-validates within the rest",
        )
    with removed_unless(has_trials, path), _interruptions_told(path):
        begin_sweep(path, searched.plan.recipe)
        (path / PAGE).unlink(missing_ok=True)  # of the trials before those that follow
        watching(Note(f"the sweep is in {path}"))
        with run_in_use(path):
            # Loading these takes seconds: what is wrong with the recipe and the folder is said before.
            from surgeon.search.sweep import search
            from surgeon.training.interrupt import until_interrupted

            url = storage or f"sqlite:///{(path / 'study.db').resolve()}"
            before = read_sweep(path) if has_result(path) else None
            result = drive(until_interrupted(search(searched, path, url), watching), watching)
    _write_page(path, watching)
    _check_finished(result, path)
    measured = before.final if before and before.best == result.best else None
    if final:
        measured = _train_best(path, result, range(searched.plan.seed, searched.plan.seed + final), watching)
    if measured:
        result = replace(result, final=measured)
        write_sweep(path, result)
        _write_page(path, watching)
    return result


def _write_page(folder: Path, watching: Subscriber) -> None:
    """Writes the page of a sweep; whatever is raised meanwhile is not worth its trials."""
    from surgeon.publishing.sweep import write_sweep_page

    try:
        write_sweep_page(folder, folder / PAGE)
    except Exception as error:
        watching(Note(f"no {PAGE}: {reason_of(error)}; `surgeon report {folder}` writes it later"))


@contextmanager
def _interruptions_told(folder: Path) -> Iterator[None]:
    """Says how a sweep that is stopped goes on."""
    go_on = f"continue with `surgeon sweep {folder} --resume`"
    try:
        yield
    except RunInterruptedError as error:
        error.hint = go_on
        raise
    except KeyboardInterrupt as error:
        raise RunInterruptedError(signal.SIGINT, go_on) from error


def _check_finished(result: SweepResult, folder: Path) -> None:
    if result.best is not None:
        return
    failed = [trial for trial in result.trials if trial.state == "failed"]
    if failed:
        message = f"no trial finished, {len(failed)} failed; trial {failed[0].number}: {failed[0].reason}"
        raise SurgeonError(message, f"`surgeon report {folder}` shows all of them")
    raise SurgeonError(
        f"no trial finished{f': {result.stopped}' if result.stopped else ''}",
        "give it more time; what was computed is kept",
    )


def _train_best(folder: Path, found: SweepResult, seeds: Sequence[int], watching: Subscriber) -> FinalResult:
    """Trains the best recipe with some seeds, and measures the test images."""
    if found.best is None:
        raise AssertionError("no trial finished")
    folders = [folder / "final" / f"trial-{found.best.number}" / f"seed-{seed}" for seed in seeds]
    measured = []
    for seed, path in zip(seeds, folders, strict=True):
        plan = load_recipe(folder / BEST, {"seed": seed})
        run = open_run(path) if is_finished(path) else train(plan, path, on_event=watching)
        if run.result.evaluation is None:
            raise SurgeonError("there are no test images to measure", "hold some out: data.split.test: 0.2")
        measured.append(run.result.evaluation)
    names = ("accuracy", "macro_f1", "weighted_f1")
    figures = {name: spread_of([figure(one, name) for one in measured]) for name in names}
    return FinalResult(tuple(path.relative_to(folder).as_posix() for path in folders), figures)


_SEARCHED_EPOCHS = 8  # of each trial: enough to tell rates and depths apart
_SEARCHED_DEPTHS = 4  # spread over the network, besides the head alone


def measure_choices(draft: Document, folder: Path, seconds: float, watching: Subscriber) -> Choices:
    """Finds what a drafted recipe leaves open: where to cut by a probe, the rest by a sweep in the time that is left.

    Args:
        draft: A recipe as ``draft_recipe`` writes it.
        folder: For the sweep.
        seconds: For all of it.
        watching: Is told of progress.

    Raises:
        SurgeonError: If the images or the weights are not what the recipe needs.
    """
    from surgeon.report.probe import suggestion_text
    from surgeon.report.sweep import verdict

    began = time.perf_counter()
    plan = compile_document(draft)
    cuts = probe(plan, on_event=watching)
    # What the draft trains may lie after the cut.
    phase = {**plan.recipe["phases"][0], "trainable": "head", "epochs": _SEARCHED_EPOCHS}
    backbone = {**plan.recipe["backbone"], "cut": cuts.suggested.cut}
    values = {**plan.recipe, "backbone": backbone, "phases": [phase]}
    network = compile_document(document_of(values, draft.path)).network
    drafted = plan.recipe["phases"][0]["trainable"]
    starts = starts_to_try(network, _SEARCHED_DEPTHS, drafted)
    if drafted in starts:  # then the sweep begins with the draft itself
        values["phases"] = [{**phase, "trainable": drafted}]
    left = max(1, round(seconds - (time.perf_counter() - began)))
    values["sweep"] = {
        "vary": {
            "phases[0].trainable": ["head", *starts],
            "phases[0].lr.cosine.peak": {"log_uniform": [3e-5, 1e-3]},
            "head[1].dropout": [0.0, 0.2, 0.5],
        },
        "budget": f"{left} s",
    }
    reasons = [f"Measured within {seconds / 60:g} min: the cut by a linear probe, the rest by a sweep."]
    reasons += [text.plain for text in suggestion_text(cuts)]
    searched = open_sweep(document_of(values, draft.path))
    try:
        found = sweep_opened(searched, folder, 0, None, watching)
    except SurgeonError as error:
        if not holds_sweep(folder):
            raise
        reasons += [f"The rest are default values, since the sweep failed: {error.message}."]
        return Choices(cut=cuts.suggested.cut, trainable=starts[len(starts) // 2], reasons=tuple(reasons))
    if found.best is None:
        raise AssertionError("a sweep without a finished trial raises")
    return Choices(
        cut=cuts.suggested.cut,
        dropout=found.best.values["head[1].dropout"],
        trainable=found.best.values["phases[0].trainable"],
        peak=found.best.values["phases[0].lr.cosine.peak"],
        reasons=(*reasons, f"What is trained, its rate and the dropout: {verdict(found)}"),
    )
