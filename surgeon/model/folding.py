"""BatchNormalization in inference mode, computed by the convolution that feeds it.

With fixed statistics, normalization scales and shifts every channel of a convolution, so a kernel that is scaled
and a bias that is shifted give the same at once, and the maps between the two layers are neither written nor
kept for the way back. The training step scales the kernel anew each time. The weights stay those of the two
layers, and their gradients are the same up to rounding: the "Tune mode" of You et al., "Efficient ConvBN Blocks
for Transfer Learning and Beyond", ICLR 2024, https://arxiv.org/abs/2305.11624.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops  # the only way to what is registered

from surgeon.catalogue.layer_table import graph_nodes
from surgeon.model.convolution import convolve

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def folded_view(part: Any, active: Collection[str], call: Callable[..., Any]) -> Any:
    """Returns a part of a network on the same weights whose convolutions compute the BatchNormalization behind them.

    Args:
        part: A functional model.
        active: Names of the layers that run in training mode; what they normalize by is that of the batch.
        call: Calls a layer, which is its first argument.
    """
    convolutions = foldable(part, active)
    passed = {layer.name for layer in convolutions.values()}

    def call_folded(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name in passed:
            return args[0] if args else kwargs["inputs"]
        return call(fold(convolutions[layer.name], layer) if layer.name in convolutions else layer, *args, **kwargs)

    return keras.models.clone_model(part, clone_function=lambda layer: layer, call_function=call_folded)


def foldable(part: Any, active: Collection[str]) -> dict[str, Any]:
    """Finds the BatchNormalization of a part of a network that its convolution can compute.

    A convolution can if it is linear, if both layers are used once, and if nothing else uses what it puts out.
    Convolutions are Conv2D, DepthwiseConv2D and Dense, not a class that is derived from one of them, which may
    compute anything. Models within the part are left as they are.

    Args:
        part: A functional model.
        active: Names of the layers that run in training mode, whose statistics are those of the batch.

    Returns:
        The convolution of each such BatchNormalization, by the latter's name.
    """
    nodes = graph_nodes(part)
    calls = Counter(id(node.operation) for node in nodes)
    uses = Counter(map(id, [*part.outputs, *(tensor for node in nodes for tensor in node.input_tensors)]))
    makers = {id(tensor): node.operation for node in nodes for tensor in node.outputs}
    found = {}
    for node in nodes:
        norm = node.operation
        if norm.name in active or not _is_plain_norm(norm):
            continue
        between = node.input_tensors[0]
        convolution = makers[id(between)]
        once = calls[id(norm)] == calls[id(convolution)] == uses[id(between)] == 1
        if once and norm.axis in (-1, between.ndim - 1) and _is_linear(convolution):
            found[norm.name] = convolution
    return found


def _is_plain_norm(layer: Any) -> bool:
    return type(layer) is keras.layers.BatchNormalization and layer.activity_regularizer is None


def _is_linear(layer: Any) -> bool:
    """Whether a layer puts out its input times its kernel, plus its bias, with the channels last."""
    return (
        type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
        and layer.activation is keras.activations.linear
        and layer.activity_regularizer is None
        and layer.quantization_mode is None
        and not getattr(layer, "lora_enabled", False)
        and getattr(layer, "data_format", "channels_last") == "channels_last"
    )


def fold(convolution: Any, norm: Any) -> Any:
    """Returns a layer that computes a convolution and the BatchNormalization behind it, on their weights.

    Args:
        convolution: A layer that :func:`foldable` found, with a kernel of shape (height, width, inputs, channels),
            (height, width, inputs, multiplier) if depthwise, or (inputs, channels) if dense.
        norm: Its BatchNormalization, with weights of shape (channels,).

    Returns:
        A layer with the name of ``norm``, from what ``convolution`` takes to what ``norm`` puts out.
    """
    # The arguments are tracked: what their weights' regularizers add to the loss still counts.
    # Casting is left to the function, as the kernel must be scaled before it is rounded.
    return keras.layers.Lambda(
        _convolve,
        arguments={"convolution": convolution, "norm": norm},
        dtype=norm.compute_dtype,
        autocast=False,
        name=norm.name,
    )


def _convolve(inputs: Any, convolution: Any, norm: Any) -> Any:
    ops, dtype = keras.ops, convolution.compute_dtype
    scale, shift = _scale_and_shift(convolution, norm)
    kernel, inputs = convolution.kernel, ops.cast(inputs, dtype)
    if isinstance(convolution, keras.layers.DepthwiseConv2D):
        scale = ops.reshape(scale, kernel.shape[-2:])
    kernel = ops.cast(kernel * scale, dtype)
    if isinstance(convolution, keras.layers.Dense):
        outputs = ops.matmul(inputs, kernel)
    else:
        outputs = convolve(convolution, inputs, kernel)
    return ops.cast(_add(outputs, ops.cast(shift, dtype)), norm.compute_dtype)


def _scale_and_shift(convolution: Any, norm: Any) -> tuple[Any, Any]:
    """Returns what the kernel is multiplied with and what the bias becomes, both of shape (channels,)."""
    scale = keras.ops.rsqrt(norm.moving_variance + norm.epsilon)
    if norm.scale:
        scale = scale * norm.gamma
    bias = convolution.bias - norm.moving_mean if convolution.use_bias else -norm.moving_mean
    shift = bias * scale
    return scale, shift + norm.beta if norm.center else shift


def _add(outputs: Any, shift: Any) -> Any:
    """Adds a shift to each channel, and sums up its gradient over all positions as a matrix product.

    TensorFlow's own gradient sums on a single core, which is the longest operation of a step in a small network;
    that of its BiasAdd loses most of a long sum in bfloat16.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def add(outputs: Any, shift: Any) -> tuple[Any, Any]:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            rows = tf.reshape(upstream, (-1, upstream.shape[-1]))
            return upstream, tf.matmul(tf.ones((1, tf.shape(rows)[0]), rows.dtype), rows)[0]

        return outputs + shift, gradients

    return add(outputs, shift)


@contextmanager
def gradients_let_go() -> Iterator[None]:
    """Lets TensorFlow forget, in the end, the gradients that were registered by what was traced meanwhile.

    It keeps that of each ``tf.custom_gradient`` that is traced for good, with the graph around it: megabytes for
    each trial of a search. Once the gradient of a function is traced as well, nobody asks for it again.
    """
    registered = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
    before = set(registered)
    yield
    for name in [name for name in registered if name not in before]:
        del registered[name]
