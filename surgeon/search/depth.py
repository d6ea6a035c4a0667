"""From where to train: short equal phases from each block on, after the same warm-up.

Beside it stands the relative gradient norm of each block after the warm-up, by which Lee and others, "Surgical
fine-tuning improves adaptation to distribution shifts", 2022, https://arxiv.org/abs/2210.11466, choose what to train.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.catalogue.schedules import SCHEDULES, for_part, highest_rate, with_highest_rate
from surgeon.errors import SurgeonError, UsageError
from surgeon.features.frozen import FrozenFeatures, Setup, set_up
from surgeon.features.linear_probe import fit_linear_probe
from surgeon.model.pipeline import build_pipeline
from surgeon.model.surgery import build_network
from surgeon.planning.cuts import Depth, depths_of
from surgeon.planning.frontier import epoch_multiply_adds, phase_frontiers, probe_frontier
from surgeon.recipe.keys import Choice
from surgeon.results.depth import DepthResult, DepthSearchResult
from surgeon.results.events import Event, Note, PhaseResult
from surgeon.runs.checkpoint import Checkpoints, restore, values_of
from surgeon.search.images import open_images, with_validation
from surgeon.text import counted
from surgeon.training.gradients import relative_gradients
from surgeon.training.phase import train_phase

if TYPE_CHECKING:
    from collections.abc import Generator

    from surgeon.model.pipeline import Pipeline
    from surgeon.recipe.plan import PhasePlan, Plan

_FACTORS = (0.3, 1.0, 3.0)  # of the recipe's highest rate


@dataclass(frozen=True)
class _Trial:
    """What a depth came to with a rate and a seed; nothing but the rate if it diverged."""

    rate: float
    accuracy: float | None
    seconds: float | None


def depth(plan: Plan, epochs: int, seeds: int) -> Generator[Event, None, DepthSearchResult]:
    """Trains the head alone, then from each block on, and measures the validation images.

    Args:
        plan: Its last phase is varied; those before it train the head alone.
        epochs: Of each trial.
        seeds: How many trials of each depth and rate: the plan's seed and those after it.

    Raises:
        UsageError: If no phase precedes the last and the head does not begin with a linear probe, or a phase before the
            last trains more than the head.
        SurgeonError: If the images or the weights are not what the plan needs, or training diverges everywhere.
    """
    _check_phases(plan)
    last = _shortened(plan.phases[-1], epochs)
    if SCHEDULES[last.lr.name].rate_after:  # trials are too short for the figures to tell
        last = replace(last, lr=Choice("constant", {"value": highest_rate(last.lr.name, last.lr.parameters)}))
    plan = replace(plan, phases=(*plan.phases[:-1], last), linear_probe=False, reject=None)
    depths = depths_of(plan.network)
    rates = [factor * highest_rate(last.lr.name, last.lr.parameters) for factor in _FACTORS]
    yield Note(
        f"{len(depths)} depths, {len(rates)} learning rates, {counted(seeds, 'seed')}: "
        f"{len(depths) * len(rates) * seeds} trials"
    )
    with ExitStack() as resources:
        session = yield from with_validation((yield from open_images(plan, resources)), plan.data.split)
        setup = set_up(plan, build_network(plan), session.dataset)
        warm = yield from _warm_up(setup, seeds)
        gradients = yield from _gradients(setup, warm[0], depths)
        results: list[DepthResult] = []
        of_a_depth = len(rates) * seeds
        for depth, gradient in zip(depths, [None, *gradients], strict=True):
            done = len(results) * of_a_depth
            left = _seconds_left(setup, depths, results) * of_a_depth
            outlook = f", about {math.ceil(left / 60)} min of training left" if left else ""
            yield Note(f"trials {done + 1} to {done + of_a_depth} of {len(depths) * of_a_depth}{outlook}")
            trials = yield from _try(setup, depth, rates, warm)
            results.append(_result(plan, depth, trials, gradient))
    if not any(result.seconds for result in results):
        raise SurgeonError("training diverged at every depth and learning rate", "lower the lr of the last phase")
    dataset = session.dataset
    images = len({dataset.digests[at] for at in dataset.part("validation")})
    return DepthSearchResult(last.name, epochs, images, tuple(results))


def _shortened(phase: PhasePlan, epochs: int) -> PhasePlan:
    """Returns a phase of so many epochs that does not end early; in a shorter one a warm-up takes the same part."""
    schedule = Choice(phase.lr.name, for_part(phase.lr.parameters, min(1.0, epochs / phase.epochs)))
    return replace(phase, epochs=epochs, until=None, lr=schedule)


def _check_phases(plan: Plan) -> None:
    if len(plan.phases) == 1 and plan.probe_layer is None:
        raise UsageError(
            "the recipe has only one phase, but depth varies the phase after a warm-up",
            "add a second phase, such as {trainable: all, lr: 1e-4, epochs: 10}, or let the head begin with "
            "kernel_initializer: linear_probe",
        )
    head = {row.name for row in plan.network.head}
    for phase in plan.phases[:-1]:
        if not set(phase.trainable) <= head:
            raise UsageError(
                f"phase {phase.name!r} trains more than the head, but only the last phase may",
                "leave out that phase for this search",
            )


@dataclass(frozen=True)
class _Warm:
    """Where all depths begin: what the warm-up came to with a seed.

    Attributes:
        values: Those of all variables then, by name.
    """

    seed: int
    pipeline: Pipeline
    values: Mapping[str, Any]


def _variables(setup: Setup) -> dict[str, Any]:
    """Returns all that training changes, the states of random generators among it."""
    own = {variable.path: variable for variable in setup.network.variables}
    return own | {f"pipeline {at}": variable for at, variable in enumerate(setup.pipeline.variables)}


def _warm_up(setup: Setup, seeds: int) -> Generator[Event, None, list[_Warm]]:
    """Trains fresh heads.

    Raises:
        SurgeonError: If that leaves the finite numbers.
    """
    found: list[_Warm] = []
    initial = values_of(_variables(setup))
    for seed in range(setup.plan.seed, setup.plan.seed + seeds):
        plan = replace(setup.plan, seed=seed)
        one = replace(setup, plan=plan, pipeline=build_pipeline(plan))
        fresh = build_network(plan)
        restore(_variables(setup), initial)
        for row in plan.network.head:
            pairs = zip(setup.network.get_layer(row.name).variables, fresh.get_layer(row.name).variables, strict=True)
            for variable, other in pairs:
                variable.assign(other)
        with ExitStack() as resources:
            features = FrozenFeatures(one, resources)
            if plan.probe_layer is not None:
                yield from features.keep([probe_frontier(plan)])
                yield from fit_linear_probe(features)
            for number in range(1, len(plan.phases)):
                yield from _train(one, features, number)
        found.append(_Warm(seed, one.pipeline, values_of(_variables(one))))
    return found


def _try(
    setup: Setup, depth: Depth, rates: Sequence[float], warm: Sequence[_Warm]
) -> Generator[Event, None, list[_Trial]]:
    """Trains from one depth on at each rate with each seed."""
    trials = []
    with ExitStack() as resources:
        features = FrozenFeatures(_at_depth(setup, depth), resources)
        for rate, one in itertools.product(rates, warm):
            trial = replace(setup, pipeline=one.pipeline)
            trial = _at_depth(replace(trial, plan=replace(setup.plan, seed=one.seed)), depth, rate)
            restore(_variables(trial), one.values)
            try:
                result = yield from _train(trial, features, len(trial.plan.phases))
            except SurgeonError as error:  # such as training that diverged
                yield Note(error.message)
                trials.append(_Trial(rate, None, None))
            else:
                trials.append(_Trial(rate, result.history["val_accuracy"][-1], result.seconds / result.epochs))
    return trials


def _at_depth(setup: Setup, depth: Depth, rate: float | None = None) -> Setup:
    """Returns a setup whose last phase trains what a depth has, at a rate if one is given."""
    plan = setup.plan
    *before, last = plan.phases
    last = replace(last, trainable=depth.trainable)
    if rate is not None:
        lr = Choice(last.lr.name, with_highest_rate(last.lr.name, last.lr.parameters, rate))
        last = replace(last, name=f"from {depth.start.name} at {rate:g}", lr=lr)
    return replace(setup, plan=replace(plan, phases=(*before, last)))


def _train(setup: Setup, features: FrozenFeatures, number: int) -> Generator[Event, None, PhaseResult]:
    training, measuring = phase_frontiers(setup.plan, number)
    # What lies within the head is another thing with each seed.
    whole = {row.name for row in setup.plan.network.backbone}
    yield from features.keep(frontier for frontier in {training, measuring} if frontier.prefix <= whole)
    train, validation = features.feed("train", training), features.feed("validation", measuring)
    with Checkpoints(None) as checkpoints:
        return (yield from train_phase(setup, number, train, validation, checkpoints))


def _gradients(setup: Setup, warm: _Warm, depths: Sequence[Depth]) -> Generator[Event, None, list[float]]:
    """Returns the relative gradient norm of the block of each depth but the first, which is the head."""
    restore(_variables(replace(setup, pipeline=warm.pipeline)), warm.values)
    whole = _at_depth(setup, depths[-1])
    with ExitStack() as resources:
        features = FrozenFeatures(whole, resources)
        training, _ = phase_frontiers(whole.plan, len(whole.plan.phases))
        feed = features.feed("train", training)
        return (yield from relative_gradients(whole, feed, [depth.block for depth in depths[1:]]))


def _seconds_left(setup: Setup, depths: Sequence[Depth], results: Sequence[DepthResult]) -> float:
    """Returns how long a trial of each remaining depth will take in all, judged by the last one; 0.0 while unknown."""
    if len(results) < 2:  # the head alone says nothing about the backbone
        return 0.0
    plans = [_at_depth(setup, depth).plan for depth in depths]
    work = [
        epoch_multiply_adds(plan.network, depth.trainable, phase_frontiers(plan, len(plan.phases))[0])
        for plan, depth in zip(plans, depths, strict=True)
    ]
    before, left = work[len(results) - 1], work[len(results) :]
    return results[-1].seconds * sum(left) / before * setup.plan.phases[-1].epochs


def _result(plan: Plan, depth: Depth, trials: Sequence[_Trial], gradient: float | None) -> DepthResult:
    rates = dict.fromkeys(trial.rate for trial in trials)
    seconds = [trial.seconds for trial in trials if trial.seconds is not None]
    return DepthResult(
        start="head" if gradient is None else f"{plan.network.spell(depth.start)}..",
        index=depth.start.index,
        parameters=sum(row.trainable for row in plan.network.rows if row.name in depth.trainable),
        accuracies={rate: tuple(trial.accuracy for trial in trials if trial.rate == rate) for rate in rates},
        seconds=float(np.mean(seconds)) if seconds else 0.0,
        gradient=gradient,
    )
