"""The end of a network in use: from its outputs to probabilities and, where it rejects images, one number more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from surgeon.catalogue.layer_table import graph_nodes
from surgeon.evaluation.rejection import SHARPNESS, TINY
from surgeon.model.surgery import layer_output

if TYPE_CHECKING:
    from surgeon.recipe.bundle import Rejection

_FARTHEST = 100.0  # times a bound; its power is still a float32


def with_features(network: Any, layer: str, start: Sequence[str] = ()) -> Any:
    """Returns the part of a network behind some layers, or all of it, that gives its output and its features.

    Args:
        network: A functional model.
        layer: What goes into this one are the features; of feature maps their averages.
        start: Layers whose outputs the part takes; none for the network's own input.
    """
    node = next(node for node in graph_nodes(network) if node.operation.name == layer)
    (features,) = node.input_tensors
    pool = {3: keras.layers.GlobalAveragePooling1D, 4: keras.layers.GlobalAveragePooling2D}
    kind = pool.get(len(features.shape), keras.layers.Identity)
    # Layers, since the name that an operation gets may be in the network already.
    outputs = keras.layers.Identity(dtype="float32", name="answer_outputs")(network.output)
    features = kind(dtype="float32", name="answer_features")(features)
    inputs = [layer_output(network, name) for name in start] or network.input
    return keras.Model(inputs, [outputs, features])


def answer(outputs: Any, features: Any, rejection: Rejection, known: Any, *, from_logits: bool) -> Any:
    """Returns the answers of a network that rejects images, symbolically; see ``read_answers`` for what they are.

    Args:
        outputs: Those of the network, of shape (batch, classes).
        features: Of shape (batch, width).
        rejection: When it does.
        known: Features of training images, of length one and shape (n, width).
        from_logits: Whether ``outputs`` are not yet probabilities.
    """
    logits = outputs if from_logits else keras.ops.log(keras.ops.maximum(outputs, TINY))
    probabilities = keras.ops.softmax(logits / rejection.temperature)
    cosine = keras.layers.Dense(len(known), use_bias=False, trainable=False, name="known")
    cosines = cosine(keras.layers.UnitNormalization(name="features")(features))
    cosine.kernel.assign(known.T)
    nearest, _ = keras.ops.top_k(cosines, rejection.neighbours)
    distance = 1.0 - nearest[:, -1:]
    likeliest = keras.ops.max(probabilities, axis=-1, keepdims=True)
    excess = keras.ops.maximum(rejection.least_probability / likeliest, distance / rejection.largest_distance)
    unknown = likeliest * keras.ops.clip(excess, 0.0, _FARTHEST) ** SHARPNESS
    return keras.ops.concatenate([probabilities, unknown], axis=-1) / (1.0 + unknown)
