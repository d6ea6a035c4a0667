"""A run's network from pixels to probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.model.pipeline import preprocess

if TYPE_CHECKING:
    from surgeon.recipe.bundle import Bundle


def whole_network(bundle: Bundle, network: Any) -> Any:
    """Returns a Keras model from pixels to probabilities around the network of a run.

    Args:
        bundle: The run's.
        network: As it was trained, behind preprocessing and perhaps before a softmax.

    Returns:
        A model from RGB pixels from 0 to 255, float32 of shape (batch, height, width, 3), to probabilities, float32
        of shape (batch, classes). Its layers are those of the network beside what prepares pixels; where two of them
        would have one name, which Keras does not allow, the network is one layer in it.
    """
    pixels = keras.Input((*bundle.image_size, 3), name="pixels")
    prepared = preprocess(pixels, PREPROCESSINGS[bundle.preprocessing])
    added = {operation.name for operation in keras.Model(pixels, prepared).operations} | {"probabilities"}
    named = {operation.name for operation in network.operations if not isinstance(operation, keras.layers.InputLayer)}
    outputs = network(prepared) if added & named else network.call(prepared)
    if bundle.from_logits:
        outputs = keras.layers.Softmax(name="probabilities")(outputs)
    return keras.Model(pixels, outputs, name="classifier")
