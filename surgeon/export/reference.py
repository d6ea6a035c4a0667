"""What an exported network has to agree with: its run's answers on images that are still to be had."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.catalogue.exporters import compiled
from surgeon.catalogue.sources.listing import LabelledImage
from surgeon.data.dataset import index_images
from surgeon.data.images import load_image
from surgeon.errors import SurgeonError
from surgeon.export.synthetic import image_files
from surgeon.inference.classify import classify
from surgeon.records import damage_told
from surgeon.resizing import Resizing
from surgeon.results.events import Event, Note
from surgeon.runs.folder import PREDICTIONS, RERUN, read_predictions, read_splits
from surgeon.runs.pictures import read_pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.recipe.bundle import Bundle
    from surgeon.recipe.plan import Plan

_CALIBRATION = 128  # training images that int8 is fitted to


@dataclass(frozen=True, eq=False)
class Reference:
    """What a network answers to images.

    Attributes:
        source: Whose they are.
        split: Of which split the images are; ``synthetic`` if they are of none.
        labels: Class numbers, or None where the images have no class.
        answers: Of shape (n, answers).
    """

    source: str
    split: str
    images: Sequence[LabelledImage]
    labels: NDArray[np.intp] | None
    answers: NDArray[np.float32]


def known_images(plan: Plan, run: Path) -> Generator[Event, None, tuple[list[LabelledImage], bool]]:
    """Returns images of a run, each with its split: those that it keeps or, if it keeps none, all where they were.

    Runs of former releases keep none. If their images are gone or changed too, there are none at all.

    Returns:
        The images, and whether they are resized already.
    """
    kept = read_pictures(run)
    if kept is not None:
        return [picture.labelled() for picture in kept if picture.pixels], True
    splits = read_splits(run)
    try:
        index = yield from index_images(plan.data, looks=False)
    except SurgeonError as error:
        yield Note(f"the run keeps no images, and its photographs are gone: {error.message}")
        return [], False
    found = {
        (image.name, digest): replace(image, split=splits[image.name, digest])
        for image, digest in zip(index.images, index.digests, strict=True)
        if (image.name, digest) in splits
    }
    if len(found) < len(splits):
        yield Note(f"{len(splits) - len(found)} of the run's {len(splits)} images are gone or changed")
        return [], False
    return list(found.values()), False


def find_reference(
    run: Path, bundle: Bundle, network: Any, images: Sequence[LabelledImage], *, narrow: bool
) -> Generator[Event, None, Reference]:
    """Returns the run's stored predictions of its test images.

    Where it computed in anything but float32 (``narrow``), or has no test images, its network computes them now; where
    there are no images, on synthetic ones.
    """
    numbers = {name: number for number, name in enumerate(bundle.classes)}
    present = {image.split for image in images if image.label in numbers}
    split: str = next((name for name in ("test", "validation", "train") if name in present), "synthetic")
    chosen = [image for image in images if image.split == split and image.label in numbers]
    if not chosen:
        chosen = [LabelledImage(name, "", None, data=content) for name, content in image_files()]
    stored = read_predictions(run)
    if split == "test" and stored is not None and not narrow:
        rows = dict(zip(stored.files, stored.probabilities, strict=True))
        with damage_told(run / PREDICTIONS, RERUN):
            probabilities = np.array([rows[image.name] for image in chosen], np.float32)
        return Reference("the run's predictions", split, chosen, _labels(chosen, numbers), probabilities)
    answers, bad = yield from classify(bundle, compiled(network), chosen)
    good = [at for at in range(len(chosen)) if at not in bad]
    chosen = [chosen[at] for at in good]
    labels = None if split == "synthetic" else _labels(chosen, numbers)
    return Reference("the run's network, computed in float32", split, chosen, labels, answers[good])


def _labels(images: Sequence[LabelledImage], numbers: dict[str, int]) -> NDArray[np.intp]:
    return np.array([numbers[image.label] for image in images], np.intp)


def training_pixels(images: Sequence[LabelledImage], resizing: Resizing) -> list[NDArray[np.float32]]:
    """Returns pixels of training images of all classes, which lie side by side."""
    chosen = [image for image in images if image.split == "train"]
    step = max(1, len(chosen) // _CALIBRATION)
    return [load_image(image.read(), resizing).astype(np.float32) for image in chosen[::step][:_CALIBRATION]]
