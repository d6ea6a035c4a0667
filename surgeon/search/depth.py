"""From where to train: short equal phases from each block on, from the same warm head.

Beside it stands the relative gradient norm of each block after the warm-up, by which Lee and others, "Surgical
fine-tuning improves adaptation to distribution shifts", 2022, https://arxiv.org/abs/2210.11466, choose what to train.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.catalogue.schedules import highest_rate, with_highest_rate
from surgeon.features.frozen import FrozenFeatures, Setup
from surgeon.model.pipeline import build_pipeline
from surgeon.model.surgery import build_network
from surgeon.planning.cuts import block_ends
from surgeon.planning.frontier import phase_frontiers
from surgeon.recipe.plan import Choice
from surgeon.results.depth import DepthResult, DepthSearch
from surgeon.results.events import Event, Note, PhaseResult
from surgeon.runs.checkpoint import Checkpoints, restore, values_of
from surgeon.search.images import open_images, with_validation
from surgeon.training.gradients import relative_gradients
from surgeon.training.phase import DivergedError, train_phase

if TYPE_CHECKING:
    from collections.abc import Generator

    from surgeon.catalogue.layer_table import LayerRow
    from surgeon.recipe.plan import PhasePlan, Plan
    from surgeon.training.session import Session

_FACTORS = (0.3, 1.0, 3.0)  # of the recipe's highest rate


@dataclass(frozen=True)
class _Depth:
    """The layers from one on.

    Attributes:
        start: The first of them.
        block: Those that the next shallower depth does not train.
    """

    start: LayerRow
    trainable: tuple[str, ...]
    block: tuple[str, ...]


@dataclass(frozen=True)
class _Trial:
    """What a depth came to with a rate and a seed; without accuracy if it diverged."""

    depth: int
    rate: float
    accuracy: float | None
    seconds: float


def depth(plan: Plan, epochs: int, seeds: int) -> Generator[Event, None, DepthSearch]:
    """Trains the head alone, then from each block on, and measures the validation images.

    Args:
        plan: Its last phase says how to train; its first one warms the head up if it trains that alone.
        epochs: Of each trial.
        seeds: How many trials of each depth and rate: the plan's seed and those after it.

    Raises:
        SurgeonError: If the images or the weights are not what the plan needs, or the warm-up diverges.
    """
    template = replace(plan.phases[-1], epochs=epochs, until=None)
    plan = replace(plan, phases=(_warm_up(plan),), linear_probe=False)
    depths = _depths(plan)
    phases = [replace(template, trainable=depth.trainable) for depth in depths]
    rates = [factor * highest_rate(template.lr.name, template.lr.parameters) for factor in _FACTORS]
    trials: list[_Trial] = []
    gradients: list[float] = []
    with ExitStack() as resources:
        session = yield from with_validation((yield from open_images(plan, resources)), plan.data.split.seed)
        bench = yield from _open(plan, session, phases)
        for seed in range(plan.seed, plan.seed + seeds):
            warm = yield from bench.warmed_up(seed)
            if not gradients:
                gradients = yield from bench.gradients(phases[-1], [depth.block for depth in depths])
            for (number, phase), rate in itertools.product(enumerate(phases), rates):
                outcome = yield from bench.train(warm, _at_rate(phase, depths[number], rate))
                trials.append(_Trial(number, rate, *outcome))
    results = []
    for number, depth in enumerate(depths):
        own = [trial for trial in trials if trial.depth == number]
        results.append(_result(plan, depth, own, gradients[number] if number else None))
    return DepthSearch(template.name, epochs, session.dataset.splits.count("validation"), tuple(results))


def _warm_up(plan: Plan) -> PhasePlan:
    """Returns the recipe's first phase if it trains the head alone, else its last one on the head alone."""
    head = tuple(row.name for row in plan.network.head if row.trainable)
    first = plan.phases[0]
    return first if set(first.trainable) <= set(head) else replace(plan.phases[-1], trainable=head, name="warm-up")


def _depths(plan: Plan) -> list[_Depth]:
    """Returns the depths, from the head alone to all layers."""
    network = plan.network
    ends = [row.index for row in block_ends(network.backbone)]
    found: list[_Depth] = []
    for after, until in zip([*reversed(ends), -1], [network.rows[-1].index, *reversed(ends)], strict=True):
        rows = [row for row in network.rows if row.index > after and row.trainable]
        block = tuple(row.name for row in rows if row.index <= until)
        if block:
            found.append(_Depth(rows[0], tuple(row.name for row in rows), block))
    return found


def _at_rate(phase: PhasePlan, depth: _Depth, rate: float) -> PhasePlan:
    lr = Choice(phase.lr.name, with_highest_rate(phase.lr.name, phase.lr.parameters, rate))
    return replace(phase, name=f"from {depth.start.name} at {rate:g}", lr=lr)


def _result(plan: Plan, depth: _Depth, trials: Sequence[_Trial], gradient: float | None) -> DepthResult:
    by_rate = {rate: tuple(trial.accuracy for trial in trials if trial.rate == rate) for rate in _rates(trials)}
    return DepthResult(
        start="head" if gradient is None else f"{plan.network.spell(depth.start)}..",
        index=depth.start.index,
        parameters=sum(row.trainable for row in plan.network.rows if row.name in depth.trainable),
        accuracies=by_rate,
        seconds=float(np.mean([trial.seconds for trial in trials])),
        gradient=gradient,
    )


def _rates(trials: Sequence[_Trial]) -> list[float]:
    return list(dict.fromkeys(trial.rate for trial in trials))


@dataclass(frozen=True, eq=False)
class _Warm:
    """Where all depths begin: what the warm-up came to with a seed, and the values of all weights then."""

    seed: int
    result: PhaseResult
    weights: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Bench:
    """A network that is trained again and again, behind features that are computed once.

    Attributes:
        setup: Its plan has the warm-up as its only phase.
        features: Those of every depth.
        weights: All variables of the network, by path.
        initial: Their values, with the head of another seed.
    """

    setup: Setup
    features: FrozenFeatures
    weights: Mapping[str, Any]
    initial: Mapping[str, Any]

    def warmed_up(self, seed: int) -> Generator[Event, None, _Warm]:
        """Trains a fresh head.

        Raises:
            DivergedError: If that leaves the finite numbers.
        """
        plan, network = self.setup.plan, self.setup.network
        fresh = build_network(replace(plan, seed=seed))
        restore(self.weights, self.initial)
        for row in plan.network.head:
            network.get_layer(row.name).set_weights(fresh.get_layer(row.name).get_weights())
        result = yield from self._train(replace(plan, seed=seed), ())
        return _Warm(seed, result, values_of(self.weights))

    def train(self, warm: _Warm, phase: PhasePlan) -> Generator[Event, None, tuple[float | None, float]]:
        """Trains a phase after the warm-up.

        Returns:
            Its last validation accuracy, None if it diverges, and the seconds of an epoch.
        """
        plan = self.setup.plan
        restore(self.weights, warm.weights)
        try:
            result = yield from self._train(replace(plan, seed=warm.seed, phases=(*plan.phases, phase)), (warm.result,))
        except DivergedError as error:
            yield Note(error.message)
            return None, 0.0
        return result.history["val_accuracy"][-1], result.seconds / result.epochs

    def _train(self, plan: Plan, finished: tuple[PhaseResult, ...]) -> Generator[Event, None, PhaseResult]:
        training, measuring = phase_frontiers(plan, len(plan.phases))
        train, validation = self.features.feed("train", training), self.features.feed("validation", measuring)
        with Checkpoints(None) as checkpoints:
            return (yield from train_phase(replace(self.setup, plan=plan), finished, train, validation, checkpoints))

    def gradients(self, phase: PhasePlan, blocks: Sequence[Sequence[str]]) -> Generator[Event, None, list[float]]:
        """Returns the relative gradient norm of some blocks, all of which the phase trains."""
        setup = replace(self.setup, plan=replace(self.setup.plan, phases=(phase,)))
        training, _ = phase_frontiers(setup.plan, 1)
        return (yield from relative_gradients(setup, self.features.feed("train", training), blocks))


def _open(plan: Plan, session: Session, phases: Sequence[PhasePlan]) -> Generator[Event, None, _Bench]:
    """Builds the network, and computes what any of the phases starts from in one pass."""
    setup = Setup(plan, build_network(plan), build_pipeline(plan), session.dataset)
    features = FrozenFeatures(setup, session.resources)
    frontiers = {
        frontier: None
        for phase in (*plan.phases, *phases)
        for frontier in phase_frontiers(replace(plan, phases=(phase,)), 1)
    }
    yield from features.keep(frontiers)
    weights = {variable.path: variable for variable in setup.network.variables}
    return _Bench(setup, features, weights, values_of(weights))
