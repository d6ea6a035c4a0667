"""Convolutions whose gradients take the ways that are fast on processors.

They give what TensorFlow's own give, up to rounding. On x86 processors those come from oneDNN (3.7 in TensorFlow
2.21), which has no code of its own for some that make up most of a step of a small network: the gradient of a depthwise
kernel of more than three columns, those of a depthwise convolution in bfloat16, and that of a pointwise kernel in
bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

_COLUMNS = 3  # of a depthwise kernel: as many as oneDNN has code for


def convolve(layer: Any, inputs: Any, kernel: Any) -> Any:
    """Returns what a Conv2D or DepthwiseConv2D computes with another kernel, without its bias and activation.

    Args:
        layer: The layer, with the channels last.
        inputs: Of shape (batch, height, width, channels).
        kernel: Of the shape of the layer's kernel and the type of ``inputs``.
    """
    is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    if not tf.config.list_physical_devices("GPU"):
        if is_depthwise and set(layer.dilation_rate) == {1} and len(set(layer.strides)) == 1:
            return depthwise_conv(inputs, kernel, layer.strides[0], layer.padding)
        if not is_depthwise and layer.groups == 1 and {*layer.kernel_size, *layer.strides} == {1}:
            return pointwise_conv(inputs, kernel)
    own = keras.ops.depthwise_conv if is_depthwise else keras.ops.conv
    return own(inputs, kernel, layer.strides, layer.padding, "channels_last", layer.dilation_rate)


def pointwise_conv(inputs: Any, kernel: Any) -> Any:
    """Mixes the channels at each position.

    Args:
        inputs: Of shape (batch, height, width, channels).
        kernel: Of shape (1, 1, channels, filters).
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(inputs: Any, kernel: Any) -> tuple[Any, Any]:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            to_inputs = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(inputs), 1)
            rows, upstream_rows = (tf.reshape(one, (-1, one.shape[-1])) for one in (inputs, upstream))
            return to_inputs, tf.matmul(rows, upstream_rows, transpose_a=True)[tf.newaxis, tf.newaxis]

        return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradients

    return compute(inputs, kernel)


def depthwise_conv(inputs: Any, kernel: Any, stride: int, padding: str) -> Any:
    """Convolves each channel with kernels of its own.

    Args:
        inputs: Of shape (batch, height, width, channels).
        kernel: Of shape (height, width, channels, multiplier).
        stride: Down and across.
        padding: ``same`` or ``valid``.
    """
    strides, padding = (1, stride, stride, 1), padding.upper()

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(inputs: Any, kernel: Any) -> tuple[Any, Any]:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            # For strides in bfloat16 there is only code that takes a hundred times as long.
            dtype = tf.float32 if stride > 1 and inputs.dtype == tf.bfloat16 else inputs.dtype
            to_inputs = tf.nn.depthwise_conv2d_backprop_input(
                tf.shape(inputs), tf.cast(kernel, dtype), tf.cast(upstream, dtype), strides, padding
            )
            return tf.cast(to_inputs, inputs.dtype), to_kernel(upstream)

        def to_kernel(upstream: Any) -> Any:
            if kernel.shape[1] <= _COLUMNS:
                return tf.nn.depthwise_conv2d_backprop_filter(inputs, kernel.shape, upstream, strides, padding)
            around = _padding(inputs.shape, kernel.shape, stride, padding)
            if inputs.dtype == tf.bfloat16:
                return _by_columns(tf.pad(inputs, around), kernel.shape, upstream, strides)
            # Paddings in numbers are what TensorFlow does not leave to oneDNN, and here its own code is faster.
            return tf.nn.depthwise_conv2d_backprop_filter(inputs, kernel.shape, upstream, strides, around)

        return tf.nn.depthwise_conv2d(inputs, kernel, strides, padding), gradients

    return compute(inputs, kernel)


def _by_columns(padded: Any, kernel: Sequence[int], upstream: Any, strides: Sequence[int]) -> Any:
    """Returns the gradient of a depthwise kernel, computed a few of its columns at a time."""
    height, width, *channels = kernel
    reach = strides[2] * (upstream.shape[2] - 1)
    parts = []
    for first in range(0, width, _COLUMNS):
        columns = min(_COLUMNS, width - first)
        seen = padded[:, :, first : first + reach + columns]
        shape = (height, columns, *channels)
        parts.append(tf.nn.depthwise_conv2d_backprop_filter(seen, shape, upstream, strides, "VALID"))
    return tf.concat(parts, axis=1)


def _padding(inputs: Sequence[int], kernel: Sequence[int], stride: int, padding: str) -> list[list[int]]:
    """Returns how much a convolution adds before and after each axis of its input."""
    sides = zip(inputs[1:3], kernel[:2], strict=True)
    missing = [max((-(-size // stride) - 1) * stride + wide - size, 0) for size, wide in sides]
    return [[0, 0], *([one // 2, one - one // 2] if padding == "SAME" else [0, 0] for one in missing), [0, 0]]
