"""Activations with gradients in one pass compute what Keras' own do."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from surgeon.model.activation import in_one_pass

TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "mixed_bfloat16": 2e-2}


def silu(values: Any) -> Any:
    """A function of a user that is called as one of Keras is."""
    return values * 2


def outputs_and_gradients(layer: Any, inputs: Any) -> list[np.ndarray]:
    @tf.function
    def differentiate(inputs: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float64) ** 2)
        return outputs, tape.gradient(loss, inputs)

    return [tf.cast(one, tf.float64).numpy() for one in differentiate(inputs)]


@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("activation", ["swish", "gelu", "hard_swish", "hard_sigmoid", "mish"])
def test_computes_the_same(activation: str, policy: str) -> None:
    layer = layers.Activation(activation, dtype=policy)
    found = in_one_pass(layer)
    assert found is not layer
    drawn = tf.random.stateless_uniform((3, 5, 4, 8), (1, 2), -6, 6)
    away = tf.where(tf.abs(tf.abs(drawn) - 3) < 0.1, 0.0, drawn)  # from where some of them bend
    inputs = tf.cast(away, layer.compute_dtype)
    exact = layers.Activation(activation, dtype="float64")
    expected = outputs_and_gradients(exact, tf.cast(inputs, tf.float64))
    for values, right in zip(outputs_and_gradients(found, inputs), expected, strict=True):
        np.testing.assert_allclose(values, right, rtol=0, atol=TOLERANCE[policy] * np.abs(right).max())


@pytest.mark.parametrize(
    "layer",
    [
        layers.Activation("relu"),
        layers.Activation("swish", activity_regularizer="l2"),
        layers.Dense(3, activation="swish"),
        layers.ReLU(),
        layers.Activation(silu),
    ],
    ids=["one pass", "with a penalty", "of another layer", "not by name", "another of the name"],
)
def test_leaves_others_alone(layer: keras.layers.Layer) -> None:
    assert in_one_pass(layer) is layer
