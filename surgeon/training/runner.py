"""A whole run: images, network, phases, measures."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgeon.data.batches import Images, images_of
from surgeon.data.dataset import decode_images, index_images
from surgeon.errors import SurgeonError
from surgeon.evaluation.linear_probe import feature_model, fit_linear_probe
from surgeon.evaluation.measures import evaluate
from surgeon.model.pipeline import build_pipeline
from surgeon.model.prediction import build_predictor, predict
from surgeon.model.surgery import build_network
from surgeon.results import Event, Note, RunResult
from surgeon.training.phase import train_phase
from surgeon.training.run_folder import save_model, write_predictions, write_splits

if TYPE_CHECKING:
    from surgeon.data.dataset import Dataset
    from surgeon.model.pipeline import Pipeline
    from surgeon.recipe.plan import Plan
    from surgeon.results import Evaluation, PhaseResult

_PACKAGES = ("surgeon", "tensorflow", "keras", "numpy", "scikit-learn", "pillow")


def run(plan: Plan, folder: Path) -> Generator[Event, None, RunResult]:
    """Does what a plan asks for and leaves its files in ``folder``, all but ``result.json`` and the pictures.

    Raises:
        SurgeonError: If the images or the weights are not what the plan needs, or training diverges.
    """
    started = time.perf_counter()
    index = yield from index_images(plan.data)
    if index.classes != plan.classes:
        raise SurgeonError("the classes of the images changed while they were read", "start again")
    # The decoded images are larger than memory may be; they lie on disk while they are needed.
    with tempfile.TemporaryDirectory(prefix="surgeon-", dir=folder) as pixels:
        dataset = yield from decode_images(index, plan.data, Path(pixels))
        write_splits(folder, dataset)
        yield from _say_what_was_passed_over(dataset)
        _check_monitors(plan, dataset)
        network = build_network(plan)
        pipeline = build_pipeline(plan)
        linear_probe = (yield from _linear_probe(network, plan, pipeline, dataset)) if plan.linear_probe else None
        phases = yield from _train(network, plan, pipeline, dataset, folder)
        evaluation = yield from _evaluate(network, plan, pipeline, dataset, folder)
    return RunResult(
        name=plan.name,
        images=dict(Counter(dataset.splits)),
        ignored=dataset.ignored,
        bad_images={bad.name: bad.reason for bad in dataset.bad},
        phases=phases,
        evaluation=evaluation,
        linear_probe=linear_probe,
        expected=plan.expected,
        seconds=time.perf_counter() - started,
        versions={
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in _PACKAGES},
        },
    )


def _say_what_was_passed_over(dataset: Dataset) -> Generator[Note, None, None]:
    if dataset.ignored:
        yield Note(f"{dataset.ignored} hidden files or non-images were passed over")
    for bad in dataset.bad:
        yield Note(f"skipped {bad.name}: {bad.reason}")


def _check_monitors(plan: Plan, dataset: Dataset) -> None:
    for phase in plan.phases:
        if phase.until and phase.until.monitor.startswith("val_") and "validation" not in dataset.splits:
            raise SurgeonError(
                f"phase {phase.name!r} monitors {phase.until.monitor}, but there are no validation images",
                "hold some out (data.split.validation: 0.1) or monitor loss",
            )


def _train(
    network: Any, plan: Plan, pipeline: Pipeline, dataset: Dataset, folder: Path
) -> Generator[Event, None, tuple[PhaseResult, ...]]:
    images = {split: images_of(dataset, split) for split in set(dataset.splits) - {"test"}}
    results = []
    for number in range(1, len(plan.phases) + 1):
        results.append((yield from train_phase(network, plan, number, pipeline, images)))
        save_model(folder, network)
    return tuple(results)


def _evaluate(
    network: Any, plan: Plan, pipeline: Pipeline, dataset: Dataset, folder: Path
) -> Generator[Event, None, Evaluation | None]:
    test = images_of(dataset, "test")
    if not len(test):
        yield Note("there are no test images, so nothing is measured")
        return None
    outputs = yield from predict(build_predictor(network, pipeline), test, plan.data.batch_size, "evaluate")
    probabilities = _softmax(outputs) if plan.loss_from_logits else outputs
    write_predictions(folder, dataset, test.positions, probabilities)
    return evaluate("test", test.labels, probabilities.argmax(axis=-1), dataset.classes)


def _linear_probe(
    network: Any, plan: Plan, pipeline: Pipeline, dataset: Dataset
) -> Generator[Event, None, Evaluation | None]:
    train, test = images_of(dataset, "train"), images_of(dataset, "test")
    if not len(test):
        return None
    predictor = build_predictor(feature_model(network, plan), pipeline)

    def features(images: Images) -> Generator[Event, None, Any]:
        return predict(predictor, images, plan.data.batch_size, "compute features for the linear probe")

    known, asked = (yield from features(train)), (yield from features(test))
    yield Note("fitting the linear probe")
    predicted = fit_linear_probe(known, train.labels, asked, plan.seed)
    return evaluate("test", test.labels, predicted, dataset.classes)


def _softmax(logits: Any) -> Any:
    from scipy.special import softmax

    return softmax(logits, axis=-1)
