"""From pixels to what a network wants: one function for training, evaluation and whatever leaves the project."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

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
        augment: ``augment(pixels, labels)`` makes the recipe's random changes, in training only and before ``prepare``;
            float32 of the same shapes. Some mix the images of a batch, and then the rows of ``labels`` as much.
        view: ``view(pixels, seed)`` changes one image as the integer ``seed`` decides; uint8 of the same shape.
        prepare: Preprocessing, to float32 of the same shape.
        change_features: ``change_features(tensors, labels)`` makes the recipe's random changes of features, float32 of
            the same shapes; rows of ``labels`` are mixed as features are. None if the recipe does not ask for any.
        variables: The states of the random generators of ``augment`` and ``change_features``.
    """

    augment: Callable[[Any, Any], tuple[Any, Any]]
    view: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
    prepare: Callable[[Any], Any]
    change_features: Callable[[Any, Any], tuple[Any, Any]] | None
    variables: tuple[Any, ...]


def build_pipeline(plan: Plan) -> Pipeline:
    """Builds what the images of a plan go through."""
    spec = PREPROCESSINGS[plan.backbone.preprocessing]
    layers = [
        (layer, AUGMENTATIONS[choice.name].mixes)
        for at, choice in enumerate(plan.augment)
        for layer in AUGMENTATIONS[choice.name].build(choice.parameters, plan.data.image_size, plan.seed + at)
    ]

    def augment(pixels: Any, labels: Any) -> tuple[Any, Any]:
        for layer, mixes in layers:
            pixels = keras.ops.cast(pixels, "float32")
            if mixes:
                mixed = layer({"images": pixels, "labels": labels}, training=True)
                pixels, labels = mixed["images"], mixed["labels"]
            else:
                pixels = layer(pixels, training=True)
        return pixels, labels

    drawing, of_features = [layer for layer, _ in layers], list(_changes_of_features(plan, plan.seed + len(layers)))

    def change_features(tensors: Any, labels: Any) -> tuple[Any, Any]:
        for change in of_features:
            tensors, labels = change(tensors, labels)
        return tensors, labels

    return Pipeline(
        augment=augment,
        view=_build_view(drawing),
        prepare=lambda pixels: preprocess(pixels, spec),
        change_features=change_features if of_features else None,
        variables=tuple(variable for each in (*drawing, *of_features) for variable in each.variables),
    )


def _changes_of_features(plan: Plan, seed: int) -> Iterator[Any]:
    for at, choice in enumerate(plan.feature_changes):
        build = AUGMENTATIONS[choice.name].build_for_features
        if build is None:
            raise AssertionError(f"{choice.name} has no `of: features`")
        yield build(choice.parameters, seed + at)


def _build_view(layers: Sequence[Any]) -> Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]:
    """Returns a function that changes one image by some layers as a seed decides, compiled when it is first called."""
    random = keras.random.SeedGenerator(0)

    @tf.function  # type: ignore[untyped-decorator]
    def change(pixels: Any, seed: Any) -> Any:
        # The state of a generator can be an argument of a compiled function, which a seed cannot.
        random.state.assign(keras.ops.cast(keras.ops.stack([seed, 0]), random.state.dtype))
        changed = keras.ops.cast(pixels[None], "float32")
        for layer in layers:
            transformation = layer.get_random_transformation(changed, training=True, seed=random)
            changed = layer.transform_images(changed, transformation, training=True)
        return keras.ops.cast(keras.ops.clip(keras.ops.round(changed[0]), 0, 255), "uint8")

    return lambda pixels, seed: np.asarray(change(pixels, tf.constant(seed)))


def preprocess(pixels: Any, spec: PreprocessingSpec) -> Any:
    """Maps RGB from 0 to 255, any dtype, of shape (batch, height, width, 3) to float32 of that shape."""
    values = keras.ops.cast(pixels, "float32")
    if spec.channels == "bgr":
        values = keras.ops.flip(values, axis=-1)
    # NumPy's constants become constants of whatever graph this is traced into.
    return (values - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
