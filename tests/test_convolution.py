"""The gradients of convolutions equal TensorFlow's own, in each precision."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from surgeon.model.convolution import convolve, depthwise_conv, pointwise_conv

# Of the largest gradient; bfloat16 keeps eight bits of each number that is added up.
TOLERANCE = {tf.float64: 1e-12, tf.float32: 1e-5, tf.bfloat16: 2e-2}

KERNELS = {"1 x 1": (1, 1), "3 x 3": (3, 3), "3 x 5": (3, 5), "4 x 4": (4, 4), "5 x 3": (5, 3), "7 x 7": (7, 7)}
WHERE = [*itertools.product((1, 2, 3), ("same", "valid"))]


def gradients(convolve: Callable[[Any, Any], Any], inputs: Any, kernel: Any) -> list[np.ndarray]:
    """Returns the outputs, and the gradients of inputs and kernel."""

    @tf.function
    def differentiate(inputs: Any, kernel: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch((inputs, kernel))
            outputs = convolve(inputs, kernel)
            # What comes back to each position differs, and is the same in all precisions.
            upstream = tf.random.stateless_normal(tf.shape(outputs), (1, 2))
            loss = tf.reduce_sum(tf.cast(outputs, tf.float64) * tf.cast(upstream, tf.float64))
        return [outputs, *tape.gradient(loss, (inputs, kernel))]

    return [tf.cast(one, tf.float64).numpy() for one in differentiate(inputs, kernel)]


def check(own: Callable[[Any, Any], Any], convolve: Callable[[Any, Any], Any], dtype: Any, *shapes: Any) -> None:
    """Compares a convolution in a precision with TensorFlow's own of the same numbers in double precision."""
    random = np.random.default_rng(5)
    inputs, kernel = (tf.cast(random.normal(size=shape), dtype) for shape in shapes)
    expected = gradients(own, tf.cast(inputs, tf.float64), tf.cast(kernel, tf.float64))
    for found, right in zip(gradients(convolve, inputs, kernel), expected, strict=True):
        assert found.shape == right.shape
        np.testing.assert_allclose(found, right, rtol=0, atol=TOLERANCE[dtype] * np.abs(right).max())


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("stride", "padding"), WHERE)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise(multiplier: int, stride: int, padding: str, kernel: str, dtype: Any) -> None:
    check(
        lambda inputs, weights: tf.nn.depthwise_conv2d(inputs, weights, (1, stride, stride, 1), padding.upper()),
        lambda inputs, weights: depthwise_conv(inputs, weights, stride, padding),
        dtype,
        (3, 11, 10, 16),
        (*KERNELS[kernel], 16, multiplier),
    )


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.name)
def test_pointwise(dtype: Any) -> None:
    check(
        lambda inputs, weights: tf.nn.conv2d(inputs, weights, 1, "SAME"),
        pointwise_conv,
        dtype,
        (3, 11, 10, 16),
        (1, 1, 16, 24),
    )


def test_strides_that_differ() -> None:
    layer = keras.layers.DepthwiseConv2D(5, strides=(2, 1), padding="same", use_bias=False)
    inputs = tf.random.stateless_normal((3, 11, 10, 16), (1, 2))
    try:
        expected = layer(inputs)
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        pytest.skip("TensorFlow computes them only with oneDNN")
    np.testing.assert_array_equal(convolve(layer, inputs, tf.convert_to_tensor(layer.kernel)), expected)
