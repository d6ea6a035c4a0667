"""From pixels to what a network wants: one function for training, evaluation and whatever leaves the project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.catalogue.augmentations import AUGMENTATIONS
from surgeon.catalogue.preprocessing import PREPROCESSINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.catalogue.preprocessing import PreprocessingSpec
    from surgeon.recipe.plan import Plan


@dataclass(frozen=True)
class Pipeline:
    """What a batch of pixels goes through before the network.

    Attributes:
        augment: The recipe's random changes; in training only, and before ``prepare``.
        view: ``view(pixels, seed)`` changes one image as the integer ``seed`` decides; uint8 of the same shape.
        prepare: Preprocessing, to float32 of the same shape.
    """

    augment: Callable[[Any], Any]
    view: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
    prepare: Callable[[Any], Any]


def build_pipeline(plan: Plan) -> Pipeline:
    """Builds what the images of a plan go through."""
    import keras

    spec = PREPROCESSINGS[plan.backbone.preprocessing]
    layers = [
        layer
        for at, choice in enumerate(plan.augment)
        for layer in AUGMENTATIONS[choice.name].build(choice.parameters, plan.data.image_size, plan.seed + at)
    ]

    def augment(pixels: Any) -> Any:
        for layer in layers:
            pixels = layer(keras.ops.cast(pixels, "float32"), training=True)
        return pixels

    def view(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        changed: Any = pixels[None].astype(np.float32)
        for at, layer in enumerate(layers):
            change = layer.get_random_transformation(changed, training=True, seed=seed + at)
            changed = layer.transform_images(changed, change, training=True)
        return np.asarray(np.clip(np.rint(changed[0]), 0, 255), np.uint8)

    return Pipeline(augment, view, lambda pixels: preprocess(pixels, spec))


def preprocess(pixels: Any, spec: PreprocessingSpec) -> Any:
    """Maps RGB from 0 to 255, any dtype, of shape (batch, height, width, 3) to float32 of that shape."""
    from keras import ops

    values = ops.cast(pixels, "float32")
    if spec.channels == "bgr":
        values = ops.flip(values, axis=-1)
    return (values - ops.array(spec.mean, "float32")) / ops.array(spec.std, "float32")
