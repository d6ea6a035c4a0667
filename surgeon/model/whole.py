"""A run's network from pixels to its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.model.answers import answer, with_features
from surgeon.model.pipeline import preprocess
from surgeon.model.surgery import part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from surgeon.recipe.bundle import Bundle


def whole_network(bundle: Bundle, network: Any, known: NDArray[Any] | None) -> Any:
    """Returns a Keras model from pixels to answers around the network of a run.

    Args:
        bundle: The run's.
        network: As it was trained, behind preprocessing and perhaps before a softmax.
        known: What ``read_known`` gives.

    Returns:
        A model from RGB pixels from 0 to 255, float32 of shape (batch, height, width, 3), to probabilities, float32
        of shape (batch, classes), or (batch, classes + 1) where images are rejected; see ``read_answers``. Its layers
        are those of the network beside what prepares pixels and ends it; where two of them would have one name, which
        Keras does not allow, the network is one layer in it.
    """
    pixels = keras.Input((*bundle.image_size, 3), name="pixels")
    prepared = preprocess(pixels, PREPROCESSINGS[bundle.preprocessing])
    part, end = ending(bundle, network, known)
    around = [keras.Model(pixels, prepared), *([end] if end else [])]
    clash = _names(around) & _names([part])

    def answers(given: Any) -> Any:
        outputs = part(given) if clash else part.call(given)
        return end.call(outputs) if end else outputs

    if not bundle.flip:
        return keras.Model(pixels, answers(prepared), name="classifier")
    # Gathered, which every format can do; not all can reverse.
    flipped = keras.ops.take(prepared, np.arange(bundle.image_size[1])[::-1].copy(), axis=2)
    return keras.Model(pixels, (answers(prepared) + answers(flipped)) / 2, name="classifier")


def ending(bundle: Bundle, network: Any, known: NDArray[Any] | None, start: Sequence[str] = ()) -> tuple[Any, Any]:
    """Returns a network as far as it was trained, and the model that makes answers of what it gives.

    The latter is None where the outputs are the answers.

    Args:
        bundle: The run's.
        network: As it was trained.
        known: What ``read_known`` gives.
        start: Layers whose outputs it takes; none for its own input.
    """
    if bundle.rejection is not None:
        part = with_features(network, bundle.rejection.layer, start)
        outputs, features = (keras.Input(tensor.shape[1:]) for tensor in part.outputs)
        answers = answer(outputs, features, bundle.rejection, known, from_logits=bundle.from_logits)
        return part, keras.Model([outputs, features], answers)
    part = part_of(network, start, ()) if start else network
    if not bundle.from_logits:
        return part, None
    outputs = keras.Input(part.output.shape[1:])
    return part, keras.Model(outputs, keras.layers.Softmax(name="probabilities")(outputs))


def _names(models: Sequence[Any]) -> set[str]:
    """Returns what the operations of some models are called, but for their inputs."""
    every = [operation for model in models for operation in model.operations]
    return {operation.name for operation in every if not isinstance(operation, keras.layers.InputLayer)}
