"""A whole run: images, network, phases, measures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.data.dataset import decode_images, index_images
from surgeon.errors import SurgeonError
from surgeon.evaluation.linear_probe import FeaturesTooLargeError, fit_linear_probe, gather_features
from surgeon.evaluation.measures import evaluate
from surgeon.model.frontier import phase_frontiers, upcoming_frontiers
from surgeon.model.pipeline import build_pipeline
from surgeon.model.precision import bfloat16_note, computing_in
from surgeon.model.prediction import build_predictor, predict
from surgeon.model.surgery import build_network, part_of
from surgeon.results import Event, Note, RunResult
from surgeon.training.features import Feed, FrozenFeatures, Setup
from surgeon.training.lock import build_lock, installed_versions, write_lock
from surgeon.training.phase import train_phase
from surgeon.training.run_folder import save_model, write_predictions, write_splits

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan
    from surgeon.results import Evaluation, PhaseResult


def run(plan: Plan, folder: Path) -> Generator[Event, None, RunResult]:
    """Does what a plan asks for and leaves its files in ``folder``, all but ``result.json`` and the pictures.

    Raises:
        SurgeonError: If the images or the weights are not what the plan needs, or training diverges.
    """
    started = time.perf_counter()
    index = yield from index_images(plan.data)
    if index.classes != plan.classes:
        raise SurgeonError("the classes of the images changed while they were read", "start again")
    _check_monitors(plan, index.splits)
    if plan.precision == "bfloat16" and (note := bfloat16_note()):
        yield Note(note)
    network = build_network(plan)  # weights that do not fit are said before the long work
    with ExitStack() as life:
        dataset = yield from decode_images(index, plan.data, plan.features, life)
        write_splits(folder, dataset)
        write_lock(folder, build_lock(plan, dataset, network))
        yield from _say_what_was_passed_over(dataset)
        setup = Setup(plan, network, build_pipeline(plan), dataset)
        features = FrozenFeatures(setup, life)
        yield from features.keep(upcoming_frontiers(plan, 1))
        linear_probe = (yield from _linear_probe(features)) if plan.linear_probe else None
        phases, evaluation = yield from _train(features, folder)
    return RunResult(
        name=plan.name,
        images=dict(Counter(dataset.splits)),
        ignored=dataset.ignored,
        bad_images={bad.name: bad.reason for bad in dataset.bad},
        frozen=features.result(),
        phases=phases,
        evaluation=evaluation,
        linear_probe=linear_probe,
        expected=plan.expected,
        seconds=time.perf_counter() - started,
        versions=installed_versions(),
    )


def _say_what_was_passed_over(dataset: Dataset) -> Generator[Note, None, None]:
    if dataset.ignored:
        yield Note(f"{dataset.ignored} hidden files or non-images were passed over")
    for bad in dataset.bad:
        yield Note(f"skipped {bad.name}: {bad.reason}")


def _check_monitors(plan: Plan, splits: Collection[str]) -> None:
    for phase in plan.phases:
        if phase.until and phase.until.monitor.startswith("val_") and "validation" not in splits:
            raise SurgeonError(
                f"phase {phase.name!r} monitors {phase.until.monitor}, but there are no validation images",
                "hold some out (data.split.validation: 0.1) or monitor loss",
            )


def _train(
    features: FrozenFeatures, folder: Path
) -> Generator[Event, None, tuple[tuple[PhaseResult, ...], Evaluation | None]]:
    """Trains all phases and measures the network."""
    setup, results = features.setup, []
    has_validation = "validation" in setup.dataset.splits
    for number, phase in enumerate(setup.plan.phases, start=1):
        yield from features.keep(upcoming_frontiers(setup.plan, number))
        training, measuring = phase_frontiers(setup.plan, number)
        train = features.feed("train", training)
        validation = features.feed("validation", measuring) if has_validation else None
        results.append((yield from train_phase(setup, number, train, validation)))
        save_model(folder, setup.network)
        features.forget(phase.trainable)
    return tuple(results), (yield from _evaluate(setup, features.feed("test", measuring), folder))


def _evaluate(setup: Setup, test: Feed, folder: Path) -> Generator[Event, None, Evaluation | None]:
    examples, plan = test.examples, setup.plan
    if not len(examples):
        yield Note("there are no test images, so nothing is measured")
        return None
    part = part_of(setup.network, test.frontier.layers, ())
    with computing_in(setup.network, plan.precision):
        predictor = build_predictor(part, test.frontier, setup.pipeline)
    outputs = yield from predict(predictor, examples, plan.data.batch_size, "evaluate")
    probabilities = _softmax(outputs) if plan.loss_from_logits else outputs
    write_predictions(folder, setup.dataset, examples.positions, probabilities)
    return evaluate("test", examples.labels, probabilities.argmax(axis=-1), setup.dataset.classes)


def _linear_probe(features: FrozenFeatures) -> Generator[Event, None, Evaluation | None]:
    dataset, seed = features.setup.dataset, features.setup.plan.seed
    train, test = dataset.part("train"), dataset.part("test")
    if not len(test):
        return None
    try:
        gathered = yield from gather_features(features, np.concatenate([train, test]))
    except FeaturesTooLargeError as error:
        yield Note(f"no linear probe: {error.message}; {error.hint}")
        return None
    yield Note("fitting the linear probe")
    known, asked = np.split(gathered, [len(train)])
    predicted = fit_linear_probe(known, dataset.labels[train], asked, seed)
    return evaluate("test", dataset.labels[test], predicted, dataset.classes)


def _softmax(logits: Any) -> Any:
    from scipy.special import softmax

    return softmax(logits, axis=-1)
