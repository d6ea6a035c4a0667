"""A whole run: images, network, phases, measures."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Generator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgeon.data.dataset import decode_images, index_images
from surgeon.errors import SurgeonError
from surgeon.evaluation.linear_probe import fit_linear_probe, probe_model
from surgeon.evaluation.measures import evaluate
from surgeon.model.frontier import Frontier, phase_frontiers, probe_frontier, upcoming_frontiers
from surgeon.model.pipeline import build_pipeline
from surgeon.model.prediction import build_predictor, predict
from surgeon.model.surgery import build_network, part_of
from surgeon.results import Event, Note, RunResult
from surgeon.training.features import Feed, Setup, feed, keep_features
from surgeon.training.phase import train_phase
from surgeon.training.run_folder import save_model, write_predictions, write_splits

if TYPE_CHECKING:
    from surgeon.data.batches import Examples
    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan
    from surgeon.results import Evaluation, PhaseResult
    from surgeon.training.store import Shelf

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
    _check_monitors(plan, index.splits)
    network = build_network(plan)  # weights that do not fit are said before the long work
    # The decoded images are larger than memory may be; they lie on disk while they are needed.
    with tempfile.TemporaryDirectory(prefix="surgeon-", dir=folder) as pixels, ExitStack() as life:
        dataset = yield from decode_images(index, plan.data, Path(pixels))
        write_splits(folder, dataset)
        yield from _say_what_was_passed_over(dataset)
        setup = Setup(plan, network, build_pipeline(plan), dataset)
        shelves = yield from _keep_first(setup, life)
        linear_probe = (yield from _linear_probe(setup, shelves)) if plan.linear_probe else None
        phases, evaluation = yield from _train(setup, shelves, life, folder)
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


def _check_monitors(plan: Plan, splits: Collection[str]) -> None:
    for phase in plan.phases:
        if phase.until and phase.until.monitor.startswith("val_") and "validation" not in splits:
            raise SurgeonError(
                f"phase {phase.name!r} monitors {phase.until.monitor}, but there are no validation images",
                "hold some out (data.split.validation: 0.1) or monitor loss",
            )


def _keep_first(setup: Setup, life: ExitStack) -> Generator[Event, None, dict[Frontier, Shelf]]:
    """Keeps what the first phases and the linear probe need of the layers that nothing has trained yet."""
    wanted = upcoming_frontiers(setup.plan, 1)
    if setup.plan.linear_probe:
        wanted.append(probe_frontier(setup.plan))
    wanted = [frontier for frontier in dict.fromkeys(wanted) if not frontier.is_image]
    return (yield from keep_features(setup, wanted, life)) if wanted else {}


def _train(
    setup: Setup, shelves: dict[Frontier, Shelf], life: ExitStack, folder: Path
) -> Generator[Event, None, tuple[tuple[PhaseResult, ...], Evaluation | None]]:
    """Trains all phases and measures the network."""
    plan, results = setup.plan, []
    has_validation = "validation" in setup.dataset.splits
    for number, phase in enumerate(plan.phases, start=1):
        wanted = [frontier for frontier in upcoming_frontiers(plan, number) if frontier not in shelves]
        if wanted:
            shelves = {**shelves, **(yield from keep_features(setup, wanted, life))}
        training, measuring = phase_frontiers(plan, number)
        train = feed(setup, "train", training, shelves)
        validation = feed(setup, "validation", measuring, shelves) if has_validation else None
        results.append((yield from train_phase(setup, number, train, validation)))
        save_model(folder, setup.network)
        shelves = {known: shelf for known, shelf in shelves.items() if not known.prefix & set(phase.trainable)}
    return tuple(results), (yield from _evaluate(setup, feed(setup, "test", measuring, shelves), folder))


def _evaluate(setup: Setup, test: Feed, folder: Path) -> Generator[Event, None, Evaluation | None]:
    examples, plan = test.examples, setup.plan
    if not len(examples):
        yield Note("there are no test images, so nothing is measured")
        return None
    part = part_of(setup.network, test.frontier.layers, ())
    predictor = build_predictor(part, test.frontier, setup.pipeline)
    outputs = yield from predict(predictor, examples, plan.data.batch_size, "evaluate")
    probabilities = _softmax(outputs) if plan.loss_from_logits else outputs
    write_predictions(folder, setup.dataset, examples.positions, probabilities)
    return evaluate("test", examples.labels, probabilities.argmax(axis=-1), setup.dataset.classes)


def _linear_probe(setup: Setup, shelves: Mapping[Frontier, Shelf]) -> Generator[Event, None, Evaluation | None]:
    plan, frontier = setup.plan, probe_frontier(setup.plan)
    train, test = (feed(setup, split, frontier, shelves).examples for split in ("train", "test"))
    if not len(test):
        return None
    predictor = build_predictor(probe_model(setup.network, plan, frontier.layers), frontier, setup.pipeline)

    def features(examples: Examples) -> Generator[Event, None, Any]:
        return predict(predictor, examples, plan.data.batch_size, "gather features for the linear probe")

    known, asked = (yield from features(train)), (yield from features(test))
    yield Note("fitting the linear probe")
    predicted = fit_linear_probe(known, train.labels, asked, plan.seed)
    return evaluate("test", test.labels, predicted, setup.dataset.classes)


def _softmax(logits: Any) -> Any:
    from scipy.special import softmax

    return softmax(logits, axis=-1)
