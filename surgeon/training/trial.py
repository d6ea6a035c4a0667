"""One plan in a session: its network, its phases, its figures."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.errors import SurgeonError
from surgeon.evaluation.measures import evaluate
from surgeon.evaluation.rejection import acceptance, read_answers
from surgeon.features.frozen import Feed, FrozenFeatures, Setup
from surgeon.features.linear_probe import FeaturesTooLargeError, fit_linear_probe
from surgeon.model.precision import computing_in
from surgeon.model.prediction import build_predictor, predict
from surgeon.model.whole import ending
from surgeon.planning.schedule import Bound, Forget, Measure, Pass, Probe, Restore, Train, schedule
from surgeon.recipe.bundle import NETWORK, Bundle, bundle_of, write_bundle
from surgeon.results.events import Event, Note, PhaseResult
from surgeon.results.run import Acceptance, Evaluation, FrozenResult
from surgeon.runs.checkpoint import Checkpoints, restore
from surgeon.runs.folder import Predictions, save_model, write_predictions
from surgeon.runs.known import read_known, write_known
from surgeon.training.fastest import fastest_precision, in_precision
from surgeon.training.phase import DivergedError, train_phase, trained_weights
from surgeon.training.rejecting import set_bounds
from surgeon.training.stopping import ending_epoch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.runs.checkpoint import Checkpoint


@dataclass(frozen=True)
class TrialResult:
    """What a trial came to; see ``RunResult`` for its parts."""

    phases: tuple[PhaseResult, ...]
    evaluation: Evaluation | None
    acceptance: Acceptance | None
    linear_probe: Evaluation | None
    frozen: FrozenResult


def run_trial(
    setup: Setup, features: FrozenFeatures, folder: Path, checkpoints: Checkpoints
) -> Generator[Event, None, TrialResult]:
    """Executes the schedule of a plan, or what is left of it after the latest checkpoint.

    Args:
        setup: What it works with; the network's weights change.
        features: What is kept of its frozen layers.
        folder: For the network after each phase and the predictions.
        checkpoints: Get one after each epoch.

    Raises:
        DivergedError: If training leaves the finite numbers.
    """
    latest = checkpoints.latest
    finished = latest.finished if latest else ()
    evaluation = accepted = linear_probe = None
    bundle = bundle_of(setup.plan, NETWORK)
    for step in schedule(setup.plan, begun=latest.phase if latest else 0):
        match step:
            case Pass():
                yield from features.keep(step.frontiers)
            case Probe():
                linear_probe = yield from _probe(features)
            case Restore() if latest:
                name = setup.plan.phases[latest.phase - 1].name
                yield Note(f"resuming after epoch {latest.epoch} of phase {name!r}")
                restore(trained_weights(setup, step.phases), latest.weights)
                features.forget({name for phase in setup.plan.phases[: step.phases] for name in phase.trainable})
            case Train():
                finished += ((yield from _train(setup, features, step, finished, checkpoints, folder)),)
            case Forget():
                features.forget(step.trained)
            case Bound() if setup.plan.reject:
                rejection, known = yield from set_bounds(features, step.frontier, setup.plan.reject.accept)
                write_known(folder, known)
                bundle = replace(bundle, rejection=rejection)
                write_bundle(folder, bundle)
            case Measure():
                test = features.feed("test", step.frontier)
                flipped = features.feed("test", step.flipped) if step.flipped else None
                evaluation, accepted = yield from _measure(setup, test, flipped, folder, bundle)
    return TrialResult(finished, evaluation, accepted, linear_probe, features.result())


def _train(
    setup: Setup,
    features: FrozenFeatures,
    step: Train,
    finished: tuple[PhaseResult, ...],
    checkpoints: Checkpoints,
    folder: Path,
) -> Generator[Event, None, PhaseResult]:
    train = features.feed("train", step.training)
    has_validation = "validation" in setup.dataset.splits
    validation = features.feed("validation", step.measuring) if has_validation else None
    if setup.plan.precision == "auto":
        begun = checkpoints.of_phase(step.phase)
        precision = begun.precision if begun else (yield from fastest_precision(setup, step.phase, train))
        setup = in_precision(setup, precision)
    try:
        result = yield from train_phase(setup, step.phase, train, validation, checkpoints, finished)
    except DivergedError as error:
        raise _with_the_best(error, setup, checkpoints.of_phase(step.phase), folder) from error
    save_model(folder, NETWORK, setup.network)
    return result


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
        ending = ending_epoch(until, latest.start, latest.history)
        which = {None: f"after epoch {latest.epoch}", 0: "before this phase"}.get(ending, "of the best epoch")
    return DivergedError(error.message, f"{error.hint}; {folder / NETWORK} holds the network {which}")


def _measure(
    setup: Setup, test: Feed, flipped: Feed | None, folder: Path, bundle: Bundle
) -> Generator[Event, None, tuple[Evaluation | None, Acceptance | None]]:
    """Measures the network on the test images as it will answer in use, and writes what it said of each."""
    examples = test.examples
    if not len(examples):
        yield Note("there are no test images, so nothing is tested")
        return None, None
    answers = yield from _answers(setup, test, folder, bundle)
    if flipped is not None:
        mirrored = yield from _answers(setup, flipped, folder, bundle, flip=True)
        answers = np.float32(0.5) * (answers + mirrored)
    probabilities, rejected = read_answers(answers, bundle.rejection)
    names, classes = setup.dataset.names, setup.dataset.classes
    files = tuple(names[at] for at in examples.positions)
    write_predictions(folder, Predictions(classes, files, examples.labels.astype(np.intp), probabilities))
    predicted = probabilities.argmax(axis=-1)
    accepted = acceptance(examples.labels, predicted, rejected, ()) if bundle.rejection else None
    return evaluate("test", examples.labels, predicted, classes), accepted


def _answers(
    setup: Setup, test: Feed, folder: Path, bundle: Bundle, *, flip: bool = False
) -> Generator[Event, None, NDArray[np.float32]]:
    """Returns what the network answers to images or, from their pixels, to their mirror images."""
    part, end = ending(bundle, setup.network, read_known(folder, bundle), test.frontier.layers)
    with computing_in(setup.network, setup.plan.untimed_precision):
        predictor = build_predictor(part, test.frontier, setup.pipeline)

    def answer(tensors: Any) -> Any:
        outputs = predictor(tuple(tensor[:, :, ::-1] for tensor in tensors) if flip else tensors)
        return outputs if end is None else end(outputs, training=False)

    task = "evaluate mirror images" if flip else "evaluate"
    return (yield from predict(answer, test.examples, setup.plan.data.batch_size, task))


def _probe(features: FrozenFeatures) -> Generator[Event, None, Evaluation | None]:
    """Fits the linear probe; the head begins with it, and it is measured, if the plan says so."""
    dataset, plan = features.setup.dataset, features.setup.plan
    test = dataset.part("test") if plan.linear_probe else np.empty(0, np.intp)
    if not len(test) and plan.probe_layer is None:
        return None
    try:
        predicted = yield from fit_linear_probe(features, test)
    except FeaturesTooLargeError as error:
        if plan.probe_layer is not None:
            raise
        yield Note(f"no linear probe: {error.message}; {error.hint}")
        return None
    return evaluate("test", dataset.labels[test], predicted, dataset.classes) if len(test) else None
