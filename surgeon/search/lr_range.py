"""Which learning rate: it grows from step to step, and the loss tells where it is too high.

The range test of Smith, "Cyclical learning rates for training neural networks", 2017, https://arxiv.org/abs/1506.01186.
"""

from __future__ import annotations

import itertools
import math
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from surgeon.errors import SurgeonError
from surgeon.features.frozen import FrozenFeatures, Setup, set_up
from surgeon.features.linear_probe import fit_linear_probe
from surgeon.model.freezing import set_trainable
from surgeon.model.surgery import build_network
from surgeon.planning.frontier import phase_frontiers
from surgeon.planning.schedule import Pass, Probe, Train, schedule
from surgeon.recipe.keys import Choice
from surgeon.results.events import Event, Progress
from surgeon.results.lr_range import LrRangeResult
from surgeon.runs.checkpoint import Checkpoints
from surgeon.search.images import open_images
from surgeon.training.phase import Training, prepare, train_phase
from surgeon.training.sampling import class_weights, samples_of_epoch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from surgeon.data.batches import Tensors
    from surgeon.recipe.plan import Plan

_LOW, _HIGH, _STEPS = 1e-7, 10.0, 100
_SMOOTHING = 0.98
_LEAST = 10  # steps
_TOO_HIGH = 4.0  # times the least smoothed loss: from there on it only grows


def lr_range(plan: Plan, number: int) -> Generator[Event, None, LrRangeResult]:
    """Tests the learning rates of a phase, from what the phases before it leave.

    Args:
        plan: Its optimizer, batch size and what it trains count; its schedule does not.
        number: Of the phase, from 1.

    Raises:
        SurgeonError: If the images or the weights are not what the plan needs, or a phase before diverges.
    """
    phases = plan.phases[: number - 1]
    phase = replace(plan.phases[number - 1], lr=Choice("constant", {"value": _LOW}), until=None)
    plan = replace(plan, phases=(*phases, phase), linear_probe=False, reject=None)
    network = build_network(plan)
    with ExitStack() as resources:
        session = yield from open_images(plan, resources)
        setup = set_up(plan, network, session.dataset)
        features = FrozenFeatures(setup, resources)
        yield from _train_before(setup, features)
        set_trainable(network, phase)
        frontier, _ = phase_frontiers(plan, number)
        training = prepare(setup, number, features.feed("train", frontier), None)
        return (yield from _test(training))


def _train_before(setup: Setup, features: FrozenFeatures) -> Generator[Event, None, None]:
    """Executes the schedule of a plan up to its last phase, and leaves no files."""
    for step in schedule(setup.plan):
        match step:
            case Pass():
                yield from features.keep(step.frontiers)
            case Probe():
                yield from fit_linear_probe(features)
            case Train(phase=number) if number < len(setup.plan.phases):
                train = features.feed("train", step.training)
                held_out = "validation" in setup.dataset.splits
                validation = features.feed("validation", step.measuring) if held_out else None
                with Checkpoints(None) as checkpoints:
                    yield from train_phase(setup, number, train, validation, checkpoints)
                features.forget(setup.plan.phases[number - 1].trainable)


def _test(training: Training) -> Generator[Progress, None, LrRangeResult]:
    """Trains step by step at rates that grow by the same factor, until there are no more or the loss has run away."""
    phase = training.phase
    weights = class_weights(phase, training.examples, training.plan.classes)
    rates = np.geomspace(_LOW, _HIGH, _STEPS).tolist()
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    for number, (rate, (tensors, labels)) in enumerate(zip(rates, _batches(training), strict=False), start=1):
        training.optimizer.learning_rate = rate
        loss = float(training.step(tensors, labels, weights[labels])[0])
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        if not math.isfinite(loss) or (smoothed and average / (1 - _SMOOTHING**number) > _TOO_HIGH * min(smoothed)):
            break
        losses.append(loss)
        smoothed.append(average / (1 - _SMOOTHING**number))
        yield Progress(f"try learning rates of phase {phase.name!r}", number, _STEPS, "steps")
    if len(losses) < _LEAST:
        raise SurgeonError(
            f"the loss of phase {phase.name!r} diverges after {len(losses)} steps, at a learning rate of "
            f"{rates[len(losses)]:.1e}",
            "check the images and the earlier phases; networks without pretrained weights may diverge early",
        )
    return LrRangeResult(phase.name, training.number, tuple(rates[: len(losses)]), tuple(losses), tuple(smoothed))


def _batches(training: Training) -> Iterator[tuple[Tensors, NDArray[np.int32]]]:
    """Yields the batches of epoch after epoch."""
    for epoch in itertools.count(1):
        samples = samples_of_epoch(training.plan, training.number, training.examples, epoch)
        yield from training.examples.batches(training.plan.data.batch_size, samples)
