"""L2-SP: weights are drawn to where they started from instead of to zero.

Li, Grandvalet and Davoine, "Explicit inductive bias for transfer learning with convolutional networks", ICML 2018,
https://arxiv.org/abs/1802.01483.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from surgeon.recipe.plan import PhasePlan, Plan


def starting_point(network: Any, plan: Plan) -> dict[str, NDArray[Any]]:
    """Returns the values of the weights of a network's backbone, by path, if a phase anchors them; else nothing.

    Args:
        network: As it was built, before any phase.
        plan: What it was built for.
    """
    if not any(phase.anchor for phase in plan.phases):
        return {}
    layers = (network.get_layer(row.name) for row in plan.network.backbone)
    return {weight.path: weight.numpy() for layer in layers for weight in layer.weights}


def build_penalty(network: Any, plan: Plan, phase: PhasePlan, anchors: Mapping[str, NDArray[Any]]) -> Callable[[], Any]:
    """Returns the function to ``anchor / 2`` times the squared distance of what a phase trains from where it started.

    Args:
        network: Of the plan, in which the phase's layers are trainable.
        plan: What is trained.
        phase: One of its phases.
        anchors: What ``starting_point`` returned.
    """
    # As tensors, so that a graph refers to them; it would hold the bytes of arrays.
    pairs = [(one.value, tf.constant(anchors[one.path])) for one in _anchored(network, plan, phase)]

    def penalty() -> Any:
        return 0.5 * phase.anchor * sum(tf.reduce_sum(tf.square(value - held)) for value, held in pairs)

    return penalty


def _anchored(network: Any, plan: Plan, phase: PhasePlan) -> Iterator[Any]:
    if phase.anchor:
        for row in plan.network.backbone:
            yield from network.get_layer(row.name).trainable_variables
