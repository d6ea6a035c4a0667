"""Activations whose gradients processors compute in one pass.

TensorFlow computes the gradient of swish, GELU and the like operation by operation, each of which reads and writes the
whole map; in EfficientNet-B0 that is a fifth of a step. Compiled by XLA, they are one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import tensorflow as tf

_IN_SEVERAL_PASSES = (
    keras.activations.gelu,
    keras.activations.hard_sigmoid,
    keras.activations.hard_silu,
    keras.activations.mish,
    keras.activations.silu,
)


def in_one_pass(layer: Any) -> Any:
    """Returns a layer that computes what a layer does, with its gradient in one pass.

    That is the layer itself, unless it is an Activation for which TensorFlow takes several.
    """
    is_plain = type(layer) is keras.layers.Activation and layer.activity_regularizer is None
    if not is_plain or layer.activation not in _IN_SEVERAL_PASSES or tf.config.list_physical_devices("GPU"):
        return layer
    # Without its name: a layer that is called twice becomes two.
    return keras.layers.Lambda(_activate, arguments={"activation": layer.activation}, dtype=layer.dtype_policy)


def _activate(inputs: Any, activation: Callable[[Any], Any]) -> Any:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def activate(inputs: Any) -> tuple[Any, Any]:
        return activation(inputs), lambda upstream: _gradient(activation)(inputs, upstream)

    return activate(inputs)


@cache  # what is compiled for maps of one shape serves all layers, and all trials of a search
def _gradient(activation: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Returns the function from an activation's inputs, and the gradient of its outputs, to that of its inputs."""

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def gradient(inputs: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = activation(inputs)
        return tape.gradient(outputs, inputs, upstream)

    return gradient  # type: ignore[no-any-return]
