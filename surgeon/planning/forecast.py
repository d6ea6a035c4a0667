"""What a run will compute, what it will keep and where, and how long that will take; nothing loads TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from surgeon.planning.estimate import epoch_seconds, forward_seconds
from surgeon.planning.frontier import (
    VALUE_BYTES,
    Frontier,
    epoch_multiply_adds,
    image_frontier,
    pass_multiply_adds,
    probe_frontier,
    recompute_seconds,
)
from surgeon.planning.samples import BATCH, needed_samples
from surgeon.planning.schedule import Forget, Measure, Pass, Probe, Train, schedule
from surgeon.store.places import Place, choose_place
from surgeon.store.shelf import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Collection

    from surgeon.data.dataset import Index
    from surgeon.planning.machine import Machine
    from surgeon.recipe.plan import PhasePlan, Plan

_CHANGE_MOVES = 60  # how often each change of images reads or writes their pixels, when a batch is changed at once
_VIEW_SECONDS = 0.002  # to make a changed copy, for each change, on one core


@dataclass(frozen=True)
class PassForecast:
    """Frozen layers that images go through once.

    Attributes:
        before: Number of the phase that begins behind it, from 1.
        frontiers: Whose tensors it computes.
        images: How many images and changed copies.
        size: Bytes that all their tensors take.
        place: Where these are kept; nowhere means that there is no pass after all.
        multiply_adds: For all images.
        seconds: For all images.
    """

    before: int
    frontiers: tuple[Frontier, ...]
    images: int
    size: int
    place: Place
    multiply_adds: int
    seconds: float


@dataclass(frozen=True)
class PhaseForecast:
    """What the epochs of a phase take.

    Attributes:
        frontier: What training starts from.
        multiply_adds: Of an epoch's training.
        training_seconds: Of an epoch.
        validation_seconds: Of an epoch.
        epochs: At most so many.
    """

    frontier: Frontier
    multiply_adds: int
    training_seconds: float
    validation_seconds: float
    epochs: int

    @property
    def seconds(self) -> float:
        """All epochs together."""
        return self.epochs * (self.training_seconds + self.validation_seconds)


@dataclass(frozen=True)
class Forecast:
    """What a whole run takes, without decoding, starting TensorFlow and fitting the linear probe.

    Attributes:
        evaluation_seconds: To measure the test images and to gather the linear probe's features.
    """

    passes: tuple[PassForecast, ...]
    phases: tuple[PhaseForecast, ...]
    evaluation_seconds: float

    @property
    def pass_seconds(self) -> float:
        """All passes together."""
        return sum(done.seconds for done in self.passes)

    @property
    def epochs_seconds(self) -> float:
        """All epochs of all phases together."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def seconds(self) -> float:
        """The whole run."""
        return self.pass_seconds + self.epochs_seconds + self.evaluation_seconds


def forecast_run(plan: Plan, index: Index, machine: Machine) -> Forecast:
    """Says what a plan's run will take on a machine, if nothing is kept from former runs.

    Args:
        plan: The compiled recipe.
        index: Its images; those that turn out to be no images are counted too.
        machine: What computes.
    """
    passes: list[PassForecast] = []
    phases: list[PhaseForecast] = []
    kept: set[Frontier] = set()
    evaluation = 0.0
    for step in schedule(plan):
        if isinstance(step, Pass):
            passes.append(_forecast_pass(plan, step, index, machine))
            kept.update(step.frontiers if passes[-1].place.kind != "nowhere" else ())
        elif isinstance(step, Probe):
            evaluation += _probing_seconds(plan, kept, index, machine)
        elif isinstance(step, Train):
            phases.append(_forecast_phase(plan, step, kept, index, machine))
        elif isinstance(step, Forget):
            kept = {frontier for frontier in kept if not frontier.prefix & step.trained}
        elif isinstance(step, Measure):
            frontier = _kept_or_image(plan, plan.phases[-1], step.frontier, kept)
            evaluation += index.splits.count("test") * _measuring_seconds(plan, frontier, machine)
    return Forecast(tuple(passes), tuple(phases), evaluation)


def _forecast_pass(plan: Plan, step: Pass, index: Index, machine: Machine) -> PassForecast:
    network, engine, frontiers = plan.network, _likely_engine(plan), step.frontiers
    images = _kept_images(plan, index)
    shapes = {row.name: row.shape for row in network.rows}
    tensors = [shapes[name] for frontier in frontiers for name in frontier.layers]
    size = images * sum(TensorSpec(shape, plan.features_dtype).size for shape in tensors)
    place = choose_place(plan.features, size, recompute_seconds(network, frontiers, len(index.images)))
    prefix = frozenset[str]().union(*(frontier.prefix for frontier in frontiers))
    computing = images * forward_seconds(network, prefix, machine, BATCH, engine, plan.precision)
    copying = plan.views * index.splits.count("train") * len(plan.augment) * _VIEW_SECONDS
    is_made = place.kind != "nowhere"
    return PassForecast(
        before=step.before,
        frontiers=frontiers,
        images=images,
        size=size,
        place=place,
        multiply_adds=is_made * images * pass_multiply_adds(network, frontiers),
        seconds=is_made * max(computing, copying),  # the next copies are made while others are computed
    )


def _kept_images(plan: Plan, index: Index) -> int:
    """Returns how many images, changed copies included, need the frozen layers; the same bytes count once."""
    content, content_of = np.unique(index.digests, return_inverse=True)
    samples = needed_samples(plan, index.splits)
    is_needed = np.zeros((plan.views + 1, len(content)), bool)
    is_needed[samples.views, content_of[samples.images]] = True
    return int(is_needed.sum())


def _likely_engine(plan: Plan) -> str:
    """Returns what will compute frozen layers, as far as that can be told without loading it."""
    if plan.engine != "auto":
        return plan.engine
    return "openvino" if find_spec("openvino") else "tensorflow"


def _forecast_phase(
    plan: Plan, step: Train, kept: Collection[Frontier], index: Index, machine: Machine
) -> PhaseForecast:
    phase, images = plan.phases[step.phase - 1], index.splits.count("train")
    training = _kept_or_image(plan, phase, step.training, kept)
    measuring = _kept_or_image(plan, phase, step.measuring, kept)
    seconds = epoch_seconds(plan.network, phase, training, machine, plan.data.batch_size, plan.precision)
    if not plan.views:
        seconds += len(plan.augment) * _CHANGE_MOVES * VALUE_BYTES * training.values / machine.bytes_per_second
    return PhaseForecast(
        frontier=training,
        multiply_adds=images * epoch_multiply_adds(plan.network, phase.trainable, training),
        training_seconds=images * seconds,
        validation_seconds=index.splits.count("validation") * _measuring_seconds(plan, measuring, machine),
        epochs=phase.epochs,
    )


def _kept_or_image(plan: Plan, phase: PhasePlan, frontier: Frontier, kept: Collection[Frontier]) -> Frontier:
    return frontier if frontier in kept else image_frontier(plan.network, phase.trainable)


def _measuring_seconds(plan: Plan, frontier: Frontier, machine: Machine) -> float:
    """Returns the seconds from an image's tensors at a frontier to the network's outputs."""
    behind = [row.name for row in plan.network.rows if row.name not in frontier.prefix]
    return forward_seconds(plan.network, behind, machine, plan.data.batch_size, "tensorflow", plan.precision)


def _probing_seconds(plan: Plan, kept: Collection[Frontier], index: Index, machine: Machine) -> float:
    """Returns the seconds to compute the linear probe's features from what is kept."""
    if not plan.linear_probe or probe_frontier(plan) in kept:
        return 0.0
    images = index.splits.count("train") + index.splits.count("test")
    layers = [row.name for row in plan.network.backbone]
    return images * forward_seconds(plan.network, layers, machine, plan.data.batch_size, "tensorflow", plan.precision)
