"""A whole run: images, network, phases, measures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from surgeon.catalogue.sources.listing import left_out_lines
from surgeon.data.checks import quick_checks
from surgeon.data.dataset import decode_images, index_images
from surgeon.errors import SurgeonError
from surgeon.evaluation.measures import evaluate
from surgeon.features.frozen import Feed, FrozenFeatures, Setup
from surgeon.features.linear_probe import FeaturesTooLargeError, fit_linear_probe, gather_features
from surgeon.model.pipeline import build_pipeline
from surgeon.model.precision import computing_in
from surgeon.model.prediction import build_predictor, predict
from surgeon.model.surgery import build_network, part_of
from surgeon.planning.frontier import phase_frontiers, upcoming_frontiers
from surgeon.planning.processor import bfloat16_note
from surgeon.recipe.bundle import bundle_of, write_bundle
from surgeon.recipe.pace import check_pace
from surgeon.results.events import Event, Note, PhaseResult, Progress
from surgeon.results.run import RunResult
from surgeon.runs.checkpoint import Checkpoints, restore
from surgeon.runs.differences import compare
from surgeon.runs.folder import NETWORK, is_begun, save_model, write_predictions, write_splits
from surgeon.runs.lock import INPUTS, Lock, build_lock, installed_versions, read_lock, write_lock
from surgeon.training.audit import variable_digests
from surgeon.training.phase import DivergedError, train_phase, trained_weights

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.data.dataset import Dataset, Index
    from surgeon.recipe.plan import Plan
    from surgeon.results.run import Evaluation
    from surgeon.runs.checkpoint import Checkpoint

_NAMED = 5  # findings or differences that are said one by one


def run(plan: Plan, folder: Path, repeated: Mapping[str, Any] | None = None) -> Generator[Event, None, RunResult]:
    """Does what a plan asks for and leaves its files in ``folder``, all but ``result.json`` and the pictures.

    If the folder holds a checkpoint, the run goes on from there.

    Args:
        plan: What to do.
        folder: Of the run.
        repeated: The lock of a run that this one repeats; what differs is said before the long work.

    Raises:
        SurgeonError: If the images or the weights are not what the plan needs or what the checkpoint was made
            with, or if training diverges.
    """
    started = time.perf_counter()
    index = yield from index_images(plan.data)
    if index.classes != plan.classes:
        raise SurgeonError("the classes of the images changed while they were read", "start again")
    _check_monitors(plan, index.splits)
    check_pace(plan, index.splits.count("train"))
    yield from _look_at(index, plan)
    if plan.precision == "bfloat16" and (note := bfloat16_note()):
        yield Note(note)
    if plan.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    network = build_network(plan)  # weights that do not fit are said before the long work
    with ExitStack() as life:
        dataset = yield from decode_images(index, plan.data, plan.features, life)
        check_pace(plan, dataset.splits.count("train"))  # without those that were skipped
        yield from _settle_lock(folder, build_lock(plan, dataset, variable_digests(network)), repeated)
        write_splits(folder, dataset)
        write_bundle(folder, bundle_of(plan, NETWORK))
        yield from _say_what_was_passed_over(index, dataset)
        setup = Setup(plan, network, build_pipeline(plan), dataset)
        features = FrozenFeatures(setup, life)
        linear_probe = (yield from _linear_probe(features)) if plan.linear_probe else None
        checkpoints = life.enter_context(Checkpoints(folder))
        spent = checkpoints.latest.spent if checkpoints.latest else 0.0
        phases, evaluation = yield from _train(features, folder, checkpoints)
    return RunResult(
        name=plan.name,
        images=dict(Counter(dataset.splits)),
        ignored=index.ignored,
        left_out={reason: len(names) for reason, names in index.left_out.items()},
        bad_images={bad.name: bad.reason for bad in dataset.bad},
        frozen=features.result(),
        phases=phases,
        evaluation=evaluation,
        linear_probe=linear_probe,
        expected=plan.expected,
        seconds=spent + time.perf_counter() - started,
        versions=installed_versions(),
    )


def _say_what_was_passed_over(index: Index, dataset: Dataset) -> Generator[Note, None, None]:
    if index.ignored:
        yield Note(f"{index.ignored:,} hidden files, files of systems and tools, or non-images were passed over")
    for line in left_out_lines(index.left_out):
        yield Note(line)
    for bad in dataset.bad:
        yield Note(f"skipped {bad.name}: {bad.reason}")


def _check_monitors(plan: Plan, splits: Collection[str]) -> None:
    for phase in plan.phases:
        if phase.until and phase.until.monitor.startswith("val_") and "validation" not in splits:
            raise SurgeonError(
                f"phase {phase.name!r} monitors {phase.until.monitor}, but there are no validation images",
                "hold some out (data.split.validation: 0.1) or monitor loss",
            )


def _look_at(index: Index, plan: Plan) -> Generator[Note, None, None]:
    """Says what is wrong with the images as far as their bytes, labels and splits tell.

    Raises:
        SurgeonError: If the same image is in two splits, unless the plan lets that pass.
    """
    findings = quick_checks(index)
    leaks = [finding.message for finding in findings if finding.kind == "leak"]
    if leaks and plan.data.on_leak == "fail":
        raise SurgeonError(
            "\n".join(_some(leaks)),
            "`surgeon check` shows all; remove the copies, or let them pass: data.on_leak: warn",
        )
    for text in _some([finding.message for finding in findings]):
        yield Note(text)


def _some(messages: Sequence[str]) -> list[str]:
    more = len(messages) - _NAMED
    return [*messages[:_NAMED], *([f"and {more:,} more of the kind"] if more > 0 else [])]


def _settle_lock(folder: Path, lock: Lock, repeated: Mapping[str, Any] | None) -> Generator[Note, None, None]:
    """Writes the lock of a new run, or compares it with that of the run which goes on or is repeated.

    Raises:
        SurgeonError: If the recipe, an image, its split or an initial weight of a run that goes on is another now, or
            nothing tells that they are not.
    """
    begun = read_lock(folder)
    if begun is None and is_begun(folder):
        raise SurgeonError(
            f"{folder} was begun, but nothing tells with what: its lock.json is missing",
            "bring it back from a copy, or start the recipe again with another --out",
        )
    differences = [str(difference) for difference in compare(begun, lock) if difference.part in INPUTS] if begun else []
    if differences:
        raise SurgeonError(
            f"{folder} was begun with something else:\n" + "\n".join(_some(differences)),
            "put it back, or start the recipe again with another --out",
        )
    other = begun or repeated
    for text in _some([str(difference) for difference in compare(other, lock)] if other else []):
        yield Note(f"{text}, so figures may differ")
    write_lock(folder, lock)


def _train(
    features: FrozenFeatures, folder: Path, checkpoints: Checkpoints
) -> Generator[Event, None, tuple[tuple[PhaseResult, ...], Evaluation | None]]:
    """Trains all phases, or those that are left, and measures the network."""
    setup, finished = features.setup, tuple[PhaseResult, ...]()
    if latest := checkpoints.latest:
        yield Note(f"going on behind epoch {latest.epoch} of phase {setup.plan.phases[latest.phase - 1].name!r}")
        finished = latest.finished
        restore(trained_weights(setup, latest.phase), latest.weights)
        for phase in setup.plan.phases[: latest.phase]:
            features.forget(phase.trainable)
    has_validation = "validation" in setup.dataset.splits
    for number in range(len(finished) + 1, len(setup.plan.phases) + 1):
        yield from features.keep(upcoming_frontiers(setup.plan, number))
        training, measuring = phase_frontiers(setup.plan, number)
        train = features.feed("train", training)
        validation = features.feed("validation", measuring) if has_validation else None
        try:
            finished += ((yield from train_phase(setup, finished, train, validation, checkpoints)),)
        except DivergedError as error:
            raise _with_the_best(error, setup, checkpoints.of_phase(number), folder) from error
        save_model(folder, NETWORK, setup.network)
        features.forget(setup.plan.phases[number - 1].trainable)
    measured = features.feed("test", phase_frontiers(setup.plan, len(setup.plan.phases))[1])
    return finished, (yield from _evaluate(setup, measured, folder))


def _with_the_best(error: DivergedError, setup: Setup, latest: Checkpoint | None, folder: Path) -> SurgeonError:
    """Saves the best network before training diverged; returns the error with where it is."""
    if latest is not None:
        restore(trained_weights(setup, latest.phase), latest.best or latest.weights)
        save_model(folder, NETWORK, setup.network)
    if not (folder / NETWORK).exists():
        return error
    which = "before this phase"
    if latest is not None:
        until = setup.plan.phases[latest.phase - 1].until
        which = "of the best epoch" if until and until.restore_best else f"after epoch {latest.epoch}"
    return DivergedError(error.message, f"{error.hint}; {folder / NETWORK} holds the network {which}")


def _evaluate(setup: Setup, test: Feed, folder: Path) -> Generator[Event, None, Evaluation | None]:
    examples, plan = test.examples, setup.plan
    if not len(examples):
        yield Note("there are no test images, so nothing is measured")
        return None
    part = part_of(setup.network, test.frontier.layers, ())
    with computing_in(setup.network, plan.precision):
        predictor = build_predictor(part, test.frontier, setup.pipeline)
    outputs = yield from predict(predictor, examples, plan.data.batch_size, "evaluate")
    probabilities = softmax(outputs, axis=-1) if plan.loss_from_logits else outputs
    write_predictions(folder, setup.dataset, examples.positions, probabilities)
    return evaluate("test", examples.labels, probabilities.argmax(axis=-1), setup.dataset.classes)


def _linear_probe(features: FrozenFeatures) -> Generator[Event, None, Evaluation | None]:
    dataset, seed = features.setup.dataset, features.setup.plan.seed
    train, test = dataset.part("train"), dataset.part("test")
    if not len(test):
        return None
    yield from features.keep(upcoming_frontiers(features.setup.plan, 1))
    try:
        gathered = yield from gather_features(features, np.concatenate([train, test]))
    except FeaturesTooLargeError as error:
        yield Note(f"no linear probe: {error.message}; {error.hint}")
        return None
    yield Progress("fit the linear probe", 0, None, "images")
    known, asked = np.split(gathered, [len(train)])
    predicted = fit_linear_probe(known, dataset.labels[train], asked, seed)
    return evaluate("test", dataset.labels[test], predicted, dataset.classes)
