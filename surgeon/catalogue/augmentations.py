"""Random layers of Keras that change training images; validation and test images stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from surgeon.catalogue.entry import Entry, Parameters, Schema, choice, number, table


@dataclass(frozen=True, kw_only=True)
class AugmentationSpec(Entry):
    """An augmentation; ``build(parameters, image_size, seed)`` returns Keras layers on RGB in [0, 255]."""

    build: Callable[[Parameters, tuple[int, int], int], list[Any]]


def _flip(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.RandomFlip(parameters["mode"], seed=seed)]


def _rotation(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.RandomRotation(parameters["factor"], fill_mode="reflect", seed=seed)]


def _zoom(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.RandomZoom(parameters["factor"], fill_mode="reflect", seed=seed)]


def _translation(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    factor = parameters["factor"]
    return [keras.layers.RandomTranslation(factor, factor, fill_mode="reflect", seed=seed)]


def _contrast(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.RandomContrast(parameters["factor"], value_range=(0, 255), seed=seed)]


def _brightness(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.RandomBrightness(parameters["factor"], value_range=(0, 255), seed=seed)]


def _crop(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    height, width = (max(1, round(side * parameters["fraction"])) for side in image_size)
    return [keras.layers.RandomCrop(height, width, seed=seed), keras.layers.Resizing(*image_size)]


def _part(description: str) -> Schema:
    return number(description, exclusiveMinimum=0, maximum=1)


_FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")

AUGMENTATIONS = table(
    AugmentationSpec(
        name="flip",
        summary="Mirrors half of the images.",
        parameters={"mode": choice("The direction.", _FLIPS, "horizontal")},
        shorthand="mode",
        build=_flip,
    ),
    AugmentationSpec(
        name="crop",
        summary="Cuts out a part at random and enlarges it to the image's size.",
        parameters={"fraction": _part("Part of height and width that is kept.")},
        required=("fraction",),
        shorthand="fraction",
        build=_crop,
    ),
    AugmentationSpec(
        name="rotation",
        summary="Turns to either side.",
        parameters={"factor": number("Largest angle as part of a full turn.", exclusiveMinimum=0, maximum=0.5)},
        required=("factor",),
        shorthand="factor",
        build=_rotation,
    ),
    AugmentationSpec(
        name="zoom",
        summary="Zooms in or out.",
        parameters={"factor": _part("Largest part of the size by which it grows or shrinks.")},
        required=("factor",),
        shorthand="factor",
        build=_zoom,
    ),
    AugmentationSpec(
        name="translation",
        summary="Shifts along both axes.",
        parameters={"factor": _part("Largest shift as part of the size.")},
        required=("factor",),
        shorthand="factor",
        build=_translation,
    ),
    AugmentationSpec(
        name="contrast",
        summary="Stretches or flattens the contrast.",
        parameters={"factor": _part("Largest part by which it changes.")},
        required=("factor",),
        shorthand="factor",
        build=_contrast,
    ),
    AugmentationSpec(
        name="brightness",
        summary="Brightens or darkens.",
        parameters={"factor": _part("Largest shift as part of the range of values.")},
        required=("factor",),
        shorthand="factor",
        build=_brightness,
    ),
)
