"""Which precision a phase trains fastest in here: a few of its steps are tried in each."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import tensorflow as tf

from surgeon.model.folding import gradients_let_go
from surgeon.model.freezing import set_trainable
from surgeon.model.precision import WORTH_TIMING, computing_in, precisions_for, weighed
from surgeon.planning.frontier import epoch_multiply_adds
from surgeon.results.events import Note, Progress
from surgeon.runs.checkpoint import restore, values_of
from surgeon.training.phase import build_gradient, build_loss
from surgeon.training.sampling import class_weights, samples_of_epoch

if TYPE_CHECKING:
    from collections.abc import Generator

    from surgeon.features.frozen import Feed, Setup
    from surgeon.recipe.plan import Plan

_WARM, _TIMED = 1, 3  # steps; the fastest one counts


def in_precision(setup: Setup, precision: str) -> Setup:
    """Returns a setup whose phases compute in a precision."""
    return replace(setup, plan=replace(setup.plan, precision=precision))


def fastest_precision(setup: Setup, number: int, train: Feed) -> Generator[Note | Progress, None, str]:
    """Returns what a phase's steps are computed in: where a plan leaves that open, what they take the least time in.

    Exactness is worth a tenth of the time. Afterwards the network's statistics, its random generators and those of
    the pipeline are what they were before.

    Args:
        setup: What the run works with.
        number: Which phase, from 1.
        train: Its training images.
    """
    plan, phase = setup.plan, setup.plan.phases[number - 1]
    precisions = precisions_for(plan)
    epoch = len(train.examples) * epoch_multiply_adds(plan.network, phase.trainable, train.frontier)
    if len(precisions) == 1 or phase.epochs * epoch < WORTH_TIMING:
        why = "it takes too little time to try others" if len(precisions) > 1 else _obstacle(plan)
        yield Note(f"phase {phase.name!r} trains in {precisions[0]}: {why}")
        return precisions[0]
    set_trainable(setup.network, phase)
    changed = {str(at): one for at, one in enumerate([*setup.network.variables, *setup.pipeline.variables])}
    before = values_of(changed)
    milliseconds: dict[str, float] = {}
    for tried, precision in enumerate(precisions, start=1):
        milliseconds[precision] = 1000 * _gradient_seconds(in_precision(setup, precision), number, train)
        restore(changed, before)
        yield Progress("time gradients", tried, len(precisions), "precisions")
    told = ", ".join(f"{taken:,.1f} ms in {precision}" for precision, taken in milliseconds.items())
    found = min(precisions, key=lambda precision: weighed(milliseconds[precision], precision))
    yield Note(f"phase {phase.name!r} trains in {found}: the gradients of a batch take {told}")
    return found


def _obstacle(plan: Plan) -> str:
    """Returns why there is nothing to choose from."""
    return "deterministic times nothing" if plan.deterministic else "this processor does not compute in bfloat16"


def _gradient_seconds(setup: Setup, number: int, train: Feed) -> float:
    """Returns the time of the gradients of a batch; what follows them in a step is the same in each precision."""
    plan, phase, examples = setup.plan, setup.plan.phases[number - 1], train.examples
    with computing_in(setup.network, plan.untimed_precision), gradients_let_go():
        differentiate, inputs = build_gradient(setup, phase, build_loss(plan, phase), train.frontier)
        step = tf.function(differentiate, input_signature=inputs).get_concrete_function()
    batch = samples_of_epoch(plan, number, examples, 1)[: plan.data.batch_size]
    tensors, labels = examples.gather(batch), examples.numbers[batch.images]
    weights = class_weights(phase, examples, plan.classes)[labels]
    taken = []
    for _ in range(_WARM + _TIMED):
        started = time.perf_counter()
        float(step(tensors, labels, weights)[0])  # waits until it is computed
        taken.append(time.perf_counter() - started)
    return min(taken[_WARM:])
