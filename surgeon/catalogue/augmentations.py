"""Random changes of training images, by layers of Keras; validation and test images stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from surgeon.catalogue.entry import DEGREES, Entry, Parameters, Schema, choice, fraction, integer, number, table


@dataclass(frozen=True, kw_only=True)
class AugmentationSpec(Entry):
    """An augmentation.

    Attributes:
        build: ``build(parameters, image_size, seed)`` returns Keras layers on RGB in [0, 255].
        mixes: Whether they mix the images of a batch, and their classes. What comes of an image then depends on the
            others, so it cannot be kept.
        build_for_features: ``build_for_features(parameters, seed)`` returns what does as much to features, where
            ``of: features`` asks for it: a function of features and labels that has ``variables``.
    """

    build: Callable[[Parameters, tuple[int, int], int], list[Any]]
    mixes: bool = False
    build_for_features: Callable[[Parameters, int], Any] | None = None


def changes_images(parameters: Parameters) -> bool:
    """Tells whether an augmentation with these parameters changes images, and not features or nothing."""
    return parameters.get("mode") != "none" and parameters.get("of") != "features"


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


def _hue(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.RandomHue(2 * parameters["factor"], value_range=(0, 255), seed=seed)]  # of half a turn


def _saturation(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    from surgeon.networks.augmentation_layers import RandomSaturation

    return [RandomSaturation(_around(parameters["factor"]), seed=seed)]


def _greyscale(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.RandomGrayscale(parameters["probability"], seed=seed)]


def _sharpness(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.RandomSharpness(_around(parameters["factor"]), value_range=(0, 255), seed=seed)]


def _around(factor: float) -> tuple[float, float]:
    """Returns a range around 0.5, with which some layers leave an image as it is."""
    return 0.5 - factor / 2, 0.5 + factor / 2


def _erasing(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    probability, area = parameters["probability"], parameters["area"]
    smallest = min(0.02, area)  # as Keras and the paper have it
    layer = keras.layers.RandomErasing((probability, probability), (smallest, area), value_range=(0, 255), seed=seed)
    return [layer]


def _rand_augment(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    from surgeon.networks.augmentation_layers import RandAugment

    return [RandAugment(**parameters, seed=seed)]


def _aug_mix(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    from surgeon.networks.augmentation_layers import AugMix

    return [AugMix(**parameters, seed=seed)]


def _mix_up(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.MixUp(parameters["alpha"], seed=seed)]


def _mix_up_features(parameters: Parameters, seed: int) -> Any:
    from surgeon.networks.augmentation_layers import FeatureMixUp

    return FeatureMixUp(parameters["alpha"], seed=seed)


def _brightness_of_features(parameters: Parameters, seed: int) -> Any:
    from surgeon.networks.augmentation_layers import FeatureBrightness

    return FeatureBrightness(parameters["factor"], seed=seed)


def _cut_mix(parameters: Parameters, image_size: tuple[int, int], seed: int) -> list[Any]:
    import keras

    return [keras.layers.CutMix((parameters["alpha"], parameters["alpha"]), seed=seed)]


def _part(description: str, default: float | None = None) -> Schema:
    return fraction(description, default, exclusiveMinimum=0, maximum=1)


def _turn(description: str) -> Schema:
    return {**number(description, exclusiveMinimum=0, maximum=0.5), **DEGREES}


def _alpha(default: float) -> Schema:
    description = "Of the beta distribution of the mixing ratio: 1 is uniform, lower values favour one of the two."
    return number(description, default, minimum=0.01, maximum=10)


_FLIPS = ("horizontal", "vertical", "horizontal_and_vertical", "none")
_OF = choice(
    "What is changed: pixels, or the output of the frozen layers of each phase.", ("images", "features"), "images"
)
_STRENGTH = "Strength of the operations: at 1 up to 30 degrees, 0.3 of the size, half of the range of values."

AUGMENTATIONS = table(
    AugmentationSpec(
        name="flip",
        summary="Mirrors images, along each chosen axis half of the time.",
        parameters={"mode": choice("The direction; `none` leaves all images unchanged.", _FLIPS, "horizontal")},
        shorthand="mode",
        build=_flip,
    ),
    AugmentationSpec(
        name="crop",
        summary="Cuts out a random part and enlarges it to the image's size.",
        parameters={"fraction": _part("Fraction of height and width that is kept.")},
        required=("fraction",),
        shorthand="fraction",
        build=_crop,
    ),
    AugmentationSpec(
        name="rotation",
        summary="Rotates in either direction.",
        parameters={"factor": _turn("Largest angle, as a fraction of a full turn: 0.04 for 15 degrees.")},
        required=("factor",),
        shorthand="factor",
        build=_rotation,
    ),
    AugmentationSpec(
        name="zoom",
        summary="Zooms in or out.",
        parameters={"factor": _part("Largest change in size, as a fraction of it.")},
        required=("factor",),
        shorthand="factor",
        build=_zoom,
    ),
    AugmentationSpec(
        name="translation",
        summary="Shifts along both axes.",
        parameters={"factor": _part("Largest shift, as a fraction of the size.")},
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
        parameters={"factor": _part("Largest shift, as a fraction of the range of values."), "of": _OF},
        required=("factor",),
        shorthand="factor",
        build=_brightness,
        build_for_features=_brightness_of_features,
    ),
    AugmentationSpec(
        name="hue",
        summary="Shifts hues around the colour circle.",
        parameters={"factor": _turn("Largest shift, as a fraction of the full circle: 0.05 for 18 degrees.")},
        required=("factor",),
        shorthand="factor",
        build=_hue,
    ),
    AugmentationSpec(
        name="saturation",
        summary="Makes colours stronger or paler.",
        parameters={"factor": _part("Largest change, as a fraction; 1 ranges from grey to fully saturated.")},
        required=("factor",),
        shorthand="factor",
        build=_saturation,
    ),
    AugmentationSpec(
        name="greyscale",
        summary="Turns some images grey.",
        parameters={"probability": _part("Fraction of the images.")},
        required=("probability",),
        shorthand="probability",
        build=_greyscale,
    ),
    AugmentationSpec(
        name="sharpness",
        summary="Sharpens or blurs.",
        parameters={"factor": _part("Largest part by which it changes.")},
        required=("factor",),
        shorthand="factor",
        build=_sharpness,
    ),
    AugmentationSpec(
        name="erasing",
        summary="Fills a rectangle of some images with noise.",
        parameters={
            "probability": _part("Fraction of the images.", 0.5),
            "area": _part("Largest fraction of an image that is erased.", 0.33),
        },
        shorthand="probability",
        build=_erasing,
    ),
    AugmentationSpec(
        name="rand_augment",
        summary=(
            "RandAugment: for each image some of contrast, equalization, rotation, shear, translation, posterization, "
            "brightness, sharpness and saturation."
        ),
        parameters={
            "strength": _part(_STRENGTH, 0.5),
            "operations": integer("Number of operations, one after another.", 2, minimum=1, maximum=10),
        },
        shorthand="strength",
        build=_rand_augment,
    ),
    AugmentationSpec(
        name="aug_mix",
        summary="AugMix: an image, mixed with chains of one to three operations of `rand_augment` on it.",
        parameters={
            "strength": _part(_STRENGTH, 0.3),
            "chains": integer("How many chains.", 3, minimum=1, maximum=10),
        },
        shorthand="strength",
        build=_aug_mix,
    ),
    AugmentationSpec(
        name="mix_up",
        summary=(
            "Mixup: each image of a batch is blended with another, and their labels alike; with `views` only for "
            "features."
        ),
        parameters={
            "alpha": _alpha(0.2),
            "of": _OF,
        },
        shorthand="alpha",
        build=_mix_up,
        mixes=True,
        build_for_features=_mix_up_features,
    ),
    AugmentationSpec(
        name="cut_mix",
        summary=(
            "CutMix: a rectangle of each image of a batch is taken from another, and labels are mixed by area; "
            "not with `views`."
        ),
        parameters={"alpha": _alpha(1.0)},
        shorthand="alpha",
        build=_cut_mix,
        mixes=True,
    ),
)
