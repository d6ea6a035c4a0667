"""The layers that a head may be made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from surgeon.catalogue.entry import Entry, Parameters, Schema, boolean, choice, fraction, number, table

Shape = tuple[int, ...]  # without the batch


@dataclass(frozen=True, kw_only=True)
class HeadLayerSpec(Entry):
    """A layer of a head.

    Attributes:
        keras_name: Its class in ``keras.layers``.
        build: ``build(parameters, name)`` returns the Keras layer.
        output_shape: Maps parameters and the input's shape to the output's.
        weights: Maps parameters and the input's shape to the numbers of trainable and of other parameters.
        is_shaping: Whether it only lays features out differently, so that a linear probe sees what it puts out.
    """

    keras_name: str
    build: Callable[[Parameters, str], Any]
    output_shape: Callable[[Parameters, Shape], Shape] = lambda parameters, shape: shape
    weights: Callable[[Parameters, Shape], tuple[int, int]] = lambda parameters, shape: (0, 0)
    is_shaping: bool = False


def _layer(keras_name: str) -> Callable[[Parameters, str], Any]:
    """Returns a builder for a Keras layer whose arguments are the entry's parameters."""

    def build(parameters: Parameters, name: str) -> Any:
        import keras

        return getattr(keras.layers, keras_name)(**parameters, name=name)

    return build


ACTIVATIONS = (
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "hard_silu",
    "mish",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "softplus",
    "softsign",
    "softmax",
)
LINEAR_PROBE = "linear_probe"
INITIALIZERS = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "orthogonal",
    "zeros",
    LINEAR_PROBE,
)
_UNITS: Schema = {
    "description": "Width of the output; `classes` is the number of classes in the data.",
    "type": ["integer", "string"],
    "if": {"type": "integer"},
    "then": {"minimum": 1},
    "else": {"enum": ["classes"]},
}
_L2 = number("Weight of an L2 penalty on the kernel.", 0.0, minimum=0)


def _dense(parameters: Parameters, name: str) -> Any:
    import keras

    initializer = parameters["kernel_initializer"]
    return keras.layers.Dense(
        parameters["units"],
        activation=parameters["activation"],
        use_bias=parameters["use_bias"],
        kernel_initializer="zeros" if initializer == LINEAR_PROBE else initializer,  # until the probe is fitted
        kernel_regularizer=keras.regularizers.L2(parameters["l2"]) if parameters["l2"] else None,
        name=name,
    )


def _dense_weights(parameters: Parameters, shape: Shape) -> tuple[int, int]:
    return (shape[-1] + parameters["use_bias"]) * parameters["units"], 0


def _normalization_weights(parameters: Parameters, shape: Shape) -> tuple[int, int]:
    return (parameters["scale"] + parameters["center"]) * shape[-1], 0


def _batch_normalization_weights(parameters: Parameters, shape: Shape) -> tuple[int, int]:
    return _normalization_weights(parameters, shape)[0], 2 * shape[-1]


_SCALE_AND_CENTER = {
    "scale": boolean("Learn a factor per channel (gamma).", True),
    "center": boolean("Learn an offset per channel (beta).", True),
}

HEAD_LAYERS = table(
    HeadLayerSpec(
        name="flatten",
        summary="Flattens the features of each image into one vector.",
        keras_name="Flatten",
        build=_layer("Flatten"),
        output_shape=lambda parameters, shape: (math.prod(shape),),
        is_shaping=True,
    ),
    HeadLayerSpec(
        name="global_average_pooling",
        summary="The mean of each channel.",
        keras_name="GlobalAveragePooling2D",
        build=_layer("GlobalAveragePooling2D"),
        output_shape=lambda parameters, shape: shape[-1:],
        is_shaping=True,
    ),
    HeadLayerSpec(
        name="global_max_pooling",
        summary="The maximum of each channel.",
        keras_name="GlobalMaxPooling2D",
        build=_layer("GlobalMaxPooling2D"),
        output_shape=lambda parameters, shape: shape[-1:],
        is_shaping=True,
    ),
    HeadLayerSpec(
        name="dense",
        summary="A fully connected layer.",
        parameters={
            "units": _UNITS,
            "activation": choice("Activation function of the output.", ACTIVATIONS, "linear"),
            "use_bias": boolean("Learn a bias per unit.", True),
            "kernel_initializer": choice(
                "Initial weights; `linear_probe` takes those of a logistic regression on the features, "
                "which replaces a warm-up.",
                INITIALIZERS,
                "glorot_uniform",
            ),
            "l2": _L2,
        },
        required=("units",),
        shorthand="units",
        keras_name="Dense",
        build=_dense,
        output_shape=lambda parameters, shape: (*shape[:-1], parameters["units"]),
        weights=_dense_weights,
    ),
    HeadLayerSpec(
        name="dropout",
        summary="Sets a random part of the features to zero while training.",
        parameters={"rate": fraction("Fraction of the features.", minimum=0, exclusiveMaximum=1)},
        required=("rate",),
        shorthand="rate",
        keras_name="Dropout",
        build=_layer("Dropout"),
    ),
    HeadLayerSpec(
        name="batch_normalization",
        summary="Normalizes each channel over the batch; trains like any layer of the head.",
        parameters={
            "momentum": number("Momentum of the moving statistics.", 0.99, minimum=0, exclusiveMaximum=1),
            "epsilon": number("A small number added to the variance.", 0.001, exclusiveMinimum=0),
            **_SCALE_AND_CENTER,
        },
        keras_name="BatchNormalization",
        build=_layer("BatchNormalization"),
        weights=_batch_normalization_weights,
    ),
    HeadLayerSpec(
        name="layer_normalization",
        summary="Normalizes the channels of each image.",
        parameters={
            "epsilon": number("A small number added to the variance.", 0.001, exclusiveMinimum=0),
            **_SCALE_AND_CENTER,
        },
        keras_name="LayerNormalization",
        build=_layer("LayerNormalization"),
        weights=_normalization_weights,
    ),
    HeadLayerSpec(
        name="activation",
        summary="An activation function as a separate layer.",
        parameters={"function": choice("The activation function.", ACTIVATIONS)},
        required=("function",),
        shorthand="function",
        keras_name="Activation",
        build=lambda parameters, name: _layer("Activation")({"activation": parameters["function"]}, name),
    ),
    HeadLayerSpec(
        name="unit_norm",
        summary="Rescales the features of each image to length one.",
        keras_name="UnitNormalization",
        is_shaping=True,
        build=_layer("UnitNormalization"),
    ),
)
