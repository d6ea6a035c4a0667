"""A network as inference needs it: in float32, and without what acts in training only."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

_NARROW_OR_WIDE = frozenset({"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"})


def for_inference(network: Any) -> Any:
    """Returns a functional model that gives in float32 what a network gives outside of training."""
    return _without_random_layers(network if is_float32(network) else _in_float32(network))


def is_float32(network: Any) -> bool:
    """Tells whether every layer of a network, those inside of other layers included, computes in float32."""
    return not any(layer.dtype_policy.name in _NARROW_OR_WIDE for layer in network._flatten_layers())


def _in_float32(network: Any) -> Any:
    """Returns a network with weights of its own, those of another in float32, and layers that compute in it."""
    copy = type(network).from_config(_float32_config(network.get_config()))
    copy.set_weights(network.get_weights())
    return copy


def _float32_config(config: Any) -> Any:
    """Returns the configuration of a model or a part of one with every real number in float32."""
    if isinstance(config, list | tuple):
        return type(config)(map(_float32_config, config))
    if not isinstance(config, Mapping):
        return config
    if config.get("class_name") == "DTypePolicy":
        return "float32" if config["config"]["name"] in _NARROW_OR_WIDE else config
    return {
        key: "float32" if key == "dtype" and str(value) in _NARROW_OR_WIDE else _float32_config(value)
        for key, value in config.items()
    }


def _without_random_layers(network: Any) -> Any:
    """Returns a functional model on the same weights without the layers that change nothing outside of training.

    Random layers draw from generators, which no other format knows how to keep.
    """
    inner: dict[int, Any] = {}  # a nested model may be called in several places

    def kept(layer: Any) -> Any:
        if not isinstance(layer, keras.Model):
            return layer
        return inner.setdefault(id(layer), _without_random_layers(layer))

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        inputs: Any = args[0] if args else next(iter(kwargs.values()), None)
        if isinstance(layer, keras.layers.Pipeline):
            for step in layer.layers:
                inputs = call(step, inputs)
            return inputs
        if isinstance(layer, keras.Layer) and _is_idle(layer, inputs):
            return inputs if inputs.dtype == layer.compute_dtype else keras.ops.cast(inputs, layer.compute_dtype)
        return layer(*args, **kwargs)

    if isinstance(network, keras.Sequential):
        network = keras.Model(network.inputs, network.outputs, name=network.name)
    return keras.models.clone_model(network, clone_function=kept, call_function=call)


def _is_idle(layer: Any, inputs: Any) -> bool:
    """Tells whether a layer acts in training only: outside of it an example comes out of it as it went in."""
    if layer.weights or "training" not in inspect.signature(layer.call).parameters:
        return False
    if not isinstance(inputs, keras.KerasTensor) or layer.compute_output_shape(inputs.shape) != inputs.shape:
        return False
    shape = [side or 32 for side in inputs.shape]
    example = np.random.default_rng(0).normal(0, 100, shape).astype(layer.compute_dtype)
    return bool(np.array_equal(layer(example, training=False), example))
