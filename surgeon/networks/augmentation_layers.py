"""Random changes of images and of features, where the layers of Keras would not do.

Keras' RandomSaturation leaves the range of pixels unless they are from 0 to 1. Its RandAugment computes every operation
on a whole batch to keep one of them, and its AugMix draws operations from Python's own generator when it is compiled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

_RANGE = (0, 255)


class RandomSaturation(keras.layers.RandomSaturation):  # type: ignore[misc]
    """Keras' layer for pixels from 0 to 255."""

    def __init__(self, factor: tuple[float, float], seed: int | None = None) -> None:
        """See Keras: 0.5 leaves a color as it is, 0 makes it grey, 1 saturates it."""
        super().__init__(factor, (0, 1), seed=seed)

    def transform_images(self, images: Any, transformation: Any = None, training: bool = True) -> Any:
        """Changes images, float32 of shape (batch, height, width, 3)."""
        return 255.0 * super().transform_images(images / 255.0, transformation, training)


class _EachImage(ABC):
    """Draws for each image what is done with it, and does no more than that; used as a layer of Keras.

    Attributes:
        generator: What it draws from.
    """

    def __init__(self, strength: float, seed: int) -> None:
        """Takes a strength from 0 to 1: the part of the ranges of its operations."""
        self.generator = keras.random.SeedGenerator(seed)
        self._operations = _operations(strength)

    @property
    def variables(self) -> list[Any]:
        """The state of its random generator."""
        return [self.generator.state]

    def __call__(self, images: Any, training: bool = True) -> Any:
        """Changes images, float32 of shape (batch, height, width, 3)."""
        return self.transform_images(images, self.generator)

    def get_random_transformation(self, images: Any, training: bool, seed: Any) -> Any:
        """Returns the generator to draw from; how much is drawn depends on what is drawn first."""
        return seed

    def transform_images(self, images: Any, seed: Any, training: bool = True) -> Any:
        """Changes images, float32 of shape (batch, height, width, 3)."""

        def change(image: Any) -> Any:
            changed = self._change(image[None], seed)[0]
            return tf.ensure_shape(keras.ops.clip(changed, *_RANGE), image.shape)

        return tf.map_fn(change, images, parallel_iterations=1)  # so that all draw in their order

    @abstractmethod
    def _change(self, image: Any, seed: Any) -> Any:
        """Returns a changed image of shape (1, height, width, 3)."""

    def _operate(self, image: Any, seed: Any) -> Any:
        """Returns what one operation makes of an image of shape (1, height, width, 3)."""

        def apply(operation: Any) -> Any:
            drawn = operation.get_random_transformation(image, training=True, seed=seed)
            return tf.ensure_shape(operation.transform_images(image, drawn, training=True), image.shape)

        chosen = keras.random.randint((), 0, len(self._operations), seed=seed)
        return tf.switch_case(chosen, [partial(apply, operation) for operation in self._operations])


class RandAugment(_EachImage):
    """Some operations, one after the other; https://arxiv.org/abs/1909.13719."""

    def __init__(self, operations: int, strength: float, seed: int) -> None:
        """Takes how many."""
        super().__init__(strength, seed)
        self._count = operations

    def _change(self, image: Any, seed: Any) -> Any:
        return _repeat(self._count, lambda _, changed: self._operate(changed, seed), image)


class AugMix(_EachImage):
    """Chains of up to three operations, mixed with each other and with the image; https://arxiv.org/abs/1912.02781."""

    def __init__(self, chains: int, strength: float, seed: int) -> None:
        """Takes how many chains."""
        super().__init__(strength, seed)
        self._chains = chains

    def _change(self, image: Any, seed: Any) -> Any:
        weights = keras.random.gamma((self._chains,), 1.0, seed=seed)
        weights /= keras.ops.sum(weights)

        def add(chain: Any, mixed: Any) -> Any:
            length = keras.random.randint((), 1, 4, seed=seed)
            changed = _repeat(length, lambda _, changed: self._operate(changed, seed), image)
            return mixed + weights[chain] * changed

        mixed = _repeat(self._chains, add, keras.ops.zeros_like(image))
        kept = keras.random.uniform((), seed=seed)
        return kept * image + (1.0 - kept) * mixed


def _repeat(times: Any, change: Callable[[Any, Any], Any], image: Any) -> Any:
    """Returns what comes of changing an image again and again; ``change`` is told how often it was called before."""
    loop = tf.while_loop(
        lambda at, _: at < times,
        lambda at, changed: (at + 1, change(at, changed)),
        (tf.constant(0), image),
        parallel_iterations=1,  # so that all draw in their order
    )
    return loop[1]


def _operations(strength: float) -> list[Any]:
    """Returns layers of Keras on one image; at strength 1 their ranges are about those of the papers."""
    layers = keras.layers
    around = (0.5 - 0.45 * strength, 0.5 + 0.45 * strength)  # 0.5 leaves an image as it is
    return [
        layers.AutoContrast(_RANGE),
        layers.Equalization(_RANGE),
        layers.RandomRotation(strength / 12),
        layers.RandomShear(x_factor=0.3 * strength),
        layers.RandomShear(y_factor=0.3 * strength),
        layers.RandomTranslation(0.0, 0.3 * strength),
        layers.RandomTranslation(0.3 * strength, 0.0),
        layers.RandomPosterization((round(8 - 4 * strength), 8), _RANGE),
        layers.RandomBrightness(0.5 * strength, _RANGE),
        layers.RandomContrast(0.9 * strength, _RANGE),
        layers.RandomSharpness(around, _RANGE),
        RandomSaturation(around),
    ]


class FeatureMixUp(keras.layers.MixUp):  # type: ignore[misc]
    """Keras' layer for features of any rank."""

    def __call__(self, tensors: Any, labels: Any) -> tuple[Any, Any]:
        """Blends features, a tensor of shape (batch, ...) or a list of them, and rows of labels, both to float32."""
        drawn = self.get_random_transformation(labels)

        def blend(tensor: Any) -> Any:
            part = _per_image(drawn["mix_weight"], tensor)
            other = keras.ops.take(tensor, drawn["permutation_order"], axis=0)
            return part * keras.ops.cast(tensor, "float32") + (1.0 - part) * keras.ops.cast(other, "float32")

        return keras.tree.map_structure(blend, tensors), blend(labels)


class FeatureBrightness:
    """Shifts all features of an image by a part of their range, in which they stay.

    That is the brightness of frozen feature augmentation (Bär and others 2024, arXiv 2403.10519).
    """

    def __init__(self, factor: float, seed: int) -> None:
        """Takes the largest part, from 0 to 1."""
        self._factor = factor
        self._generator = keras.random.SeedGenerator(seed)

    @property
    def variables(self) -> list[Any]:
        """The state of its random generator."""
        return [self._generator.state]

    def __call__(self, tensors: Any, labels: Any) -> tuple[Any, Any]:
        """Changes features, a tensor of shape (batch, ...) or a list of them, to float32; labels stay."""
        drawn = keras.random.uniform(keras.ops.shape(labels)[:1], -self._factor, self._factor, seed=self._generator)

        def shift(tensor: Any) -> Any:
            values, axes = keras.ops.cast(tensor, "float32"), tuple(range(1, len(tensor.shape)))
            least, largest = (each(values, axes, keepdims=True) for each in (keras.ops.min, keras.ops.max))
            return keras.ops.clip(values + _per_image(drawn, tensor) * (largest - least), least, largest)

        return keras.tree.map_structure(shift, tensors), labels


def _per_image(numbers: Any, tensor: Any) -> Any:
    """Returns a number per image in a shape that goes with a tensor of shape (batch, ...)."""
    return keras.ops.reshape(numbers, (-1, *[1] * (len(tensor.shape) - 1)))
