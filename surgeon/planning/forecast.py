"""What a run will compute, what it will keep and where, and how long that will take; nothing loads TensorFlow."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import yaml

from surgeon.catalogue.augmentations import AUGMENTATIONS
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
from surgeon.planning.processor import bfloat16_note
from surgeon.planning.samples import BATCH, needed_samples
from surgeon.planning.schedule import Bound, Forget, Measure, Pass, Probe, Train, schedule
from surgeon.results.forecast import (
    ExpectedSeconds,
    Forecast,
    KeptTensor,
    PassForecast,
    PhaseForecast,
    ViewsForecast,
)
from surgeon.store.places import choose_place
from surgeon.store.shelf import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from surgeon.data.dataset import Index
    from surgeon.planning.machine import Machine
    from surgeon.recipe.keys import Choice
    from surgeon.recipe.plan import PhasePlan, Plan

_CHANGE_MOVES = 60  # how often each change of images reads or writes their pixels, when a batch is changed at once
_VIEW_SECONDS = 0.002  # to make a changed copy, for each change, on one core
_VIEWS = 4  # that are suggested where none are kept


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
        elif isinstance(step, Bound | Measure):
            frontier = _kept_or_image(plan, plan.phases[-1], step.frontier, kept)
            splits = ("train", "validation") if isinstance(step, Bound) else ("test",)
            begun = [frontier, *([step.flipped] if isinstance(step, Measure) and step.flipped else [])]
            each = sum(_measuring_seconds(plan, one, machine) for one in begun)
            evaluation += sum(map(index.splits.count, splits)) * each
    once, repeated = sum(done.seconds for done in passes), sum(phase.seconds for phase in phases)
    return Forecast(
        passes=tuple(passes),
        phases=tuple(phases),
        expected_seconds=ExpectedSeconds(once, repeated, evaluation, once + repeated + evaluation),
        with_views=_forecast_views(plan, index, machine),
        notes=tuple(_notes(plan, passes, machine)),
    )


def _forecast_pass(plan: Plan, step: Pass, index: Index, machine: Machine) -> PassForecast:
    network, engine, frontiers = plan.network, _likely_engine(plan), step.frontiers
    images = _kept_images(plan, index)
    kept = tuple(tensor for frontier in frontiers for tensor in _tensors(plan, frontier))
    size = images * sum(tensor.bytes_per_image for tensor in kept)
    place = choose_place(plan.features, size, recompute_seconds(network, frontiers, len(index.images)))
    prefix = frozenset[str]().union(*(frontier.prefix for frontier in frontiers))
    computing = images * forward_seconds(network, prefix, machine, BATCH, engine, plan.precision)
    copying = plan.views * index.splits.count("train") * len(plan.augment) * _VIEW_SECONDS
    is_made = place.kind != "nowhere"
    return PassForecast(
        before_phase=step.before,
        kept=kept,
        images=images,
        views=plan.views,
        bytes=size,
        dtype=plan.features_dtype,
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


def _tensors(plan: Plan, frontier: Frontier) -> tuple[KeptTensor, ...]:
    """Returns what is kept of each image at a frontier."""
    shapes = {row.name: row.shape for row in plan.network.rows}
    specs = {name: TensorSpec(shapes[name], plan.features_dtype) for name in frontier.layers}
    image = {None: TensorSpec((*plan.data.image_size, 3), "uint8")}
    return tuple(KeptTensor(layer, spec.shape, spec.size) for layer, spec in (specs or image).items())


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
    seconds_per_epoch = images * seconds
    validating = index.splits.count("validation") * _measuring_seconds(plan, measuring, machine)
    seconds_per_epoch += validating
    trained = sum(row.trainable for row in plan.network.rows if row.name in phase.trainable)
    return PhaseForecast(
        name=phase.name,
        optimizer=phase.optimizer.name,
        lr=_spell(phase.lr),
        trained=trained,
        frozen=sum(row.trainable + row.fixed for row in plan.network.rows) - trained,
        epochs=phase.epochs,
        may_stop_early=phase.until is not None and phase.until.patience < phase.epochs,
        steps=math.ceil(images / plan.data.batch_size) * phase.epochs,
        starts_from=_tensors(plan, training),
        changed_every_epoch=bool(plan.augment) and not plan.views,
        multiply_adds_per_epoch=images * epoch_multiply_adds(plan.network, phase.trainable, training),
        seconds_per_epoch=seconds_per_epoch,
        seconds=phase.epochs * seconds_per_epoch + (validating if phase.until and phase.until.validates else 0.0),
    )


def _spell(schedule: Choice) -> str:
    if schedule.name == "constant":
        return f"{schedule.parameters['value']:g}"
    return f"{schedule.name} {yaml.safe_dump(dict(schedule.parameters), default_flow_style=True, width=200).strip()}"


def _kept_or_image(plan: Plan, phase: PhasePlan, frontier: Frontier, kept: Collection[Frontier]) -> Frontier:
    return frontier if frontier in kept else image_frontier(plan.network, phase.trainable)


def _measuring_seconds(plan: Plan, frontier: Frontier, machine: Machine) -> float:
    """Returns the seconds from an image's tensors at a frontier to the network's outputs."""
    behind = [row.name for row in plan.network.rows if row.name not in frontier.prefix]
    return forward_seconds(plan.network, behind, machine, plan.data.batch_size, "tensorflow", plan.untimed_precision)


def _probing_seconds(plan: Plan, kept: Collection[Frontier], index: Index, machine: Machine) -> float:
    """Returns the seconds to compute the linear probe's features from what is kept."""
    if not plan.fits_probe or probe_frontier(plan) in kept:
        return 0.0
    images = index.splits.count("train") + index.splits.count("test")
    layers = [row.name for row in plan.network.backbone]
    return images * forward_seconds(
        plan.network, layers, machine, plan.data.batch_size, "tensorflow", plan.untimed_precision
    )


def _forecast_views(plan: Plan, index: Index, machine: Machine) -> ViewsForecast | None:
    if not plan.augment or plan.views or plan.features == "off":
        return None
    mixing = tuple(change.name for change in plan.augment if AUGMENTATIONS[change.name].mixes)
    others = tuple(change for change in plan.augment if change.name not in mixing)
    views = _VIEWS if others else 0
    kept = forecast_run(replace(plan, augment=others, views=views), index, machine)
    return ViewsForecast(views, kept.expected_seconds.all, mixing)


def _notes(plan: Plan, passes: Iterable[PassForecast], machine: Machine) -> list[str]:
    notes = [bfloat16_note()] if plan.precision == "bfloat16" else []
    needed = sum(done.bytes for done in passes if done.place.kind == "memory")
    if needed > machine.memory:
        notes.append(f"{needed / 1e9:,.1f} GB are kept in memory, but only {machine.memory / 1e9:,.1f} GB are free")
    return [note for note in notes if note]
