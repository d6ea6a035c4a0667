"""How large the gradients of a network's parts are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from surgeon.data.batches import Samples
from surgeon.model.folding import gradients_let_go
from surgeon.model.freezing import set_trainable
from surgeon.model.precision import computing_in
from surgeon.results.events import Progress
from surgeon.training.phase import build_gradient, build_loss
from surgeon.training.sampling import class_weights

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from surgeon.features.frozen import Feed, Setup


def relative_gradients(
    setup: Setup, train: Feed, groups: Sequence[Sequence[str]]
) -> Generator[Progress, None, list[float]]:
    """Returns for some groups of layers the norm of their gradient relative to that of their weights.

    Args:
        setup: The last phase of its plan trains all of these layers.
        train: The training images, each of which counts once.
        groups: Names of layers.

    Returns:
        For each group the mean over batches of ``|gradient| / |weights|``; 0.0 for one without weights.
    """
    plan, phase = setup.plan, setup.plan.phases[-1]
    set_trainable(setup.network, phase)
    variables = setup.network.trainable_variables
    owners = {id(weight): layer.name for layer in setup.network.layers for weight in layer.trainable_variables}
    members = [[at for at, one in enumerate(variables) if owners[id(one)] in set(group)] for group in groups]
    with computing_in(setup.network, plan.untimed_precision), gradients_let_go():
        differentiate, inputs = build_gradient(setup, phase, build_loss(plan, phase), train.frontier)

        @tf.function(input_signature=inputs)  # type: ignore[untyped-decorator]
        def norms(tensors: Any, labels: Any, weights: Any) -> Any:
            gradients = differentiate(tensors, labels, weights)[2]
            return tf.stack([tf.linalg.global_norm([gradients[at] for at in group] or [0.0]) for group in members])

        compiled = norms.get_concrete_function()
    per_class = class_weights(phase, train.examples, plan.classes)
    samples = Samples.unchanged(np.random.default_rng(plan.seed).permutation(train.examples.positions))
    found = []
    steps = math.ceil(len(samples) / plan.data.batch_size)
    for tensors, labels in train.examples.batches(plan.data.batch_size, samples):
        found.append(compiled(tensors, labels, per_class[labels]).numpy())
        yield Progress("measure gradients", len(found), steps, "steps")
    sizes = [math.sqrt(sum(float(tf.reduce_sum(variables[at] ** 2)) for at in group)) for group in members]
    return [float(norm) / size if size else 0.0 for norm, size in zip(np.mean(found, axis=0), sizes, strict=True)]
