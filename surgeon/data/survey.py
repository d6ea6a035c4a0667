"""A first look at images, for drafting a recipe."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from surgeon.catalogue.sources import SOURCES, source_of
from surgeon.catalogue.sources.csv_file import likely_columns
from surgeon.catalogue.sources.listing import LabelledImage, require_classes
from surgeon.data.groups import name_groups, near_copies
from surgeon.data.images import decode_image
from surgeon.data.looks import look_at_images
from surgeon.data.splits import split_images
from surgeon.errors import BadImageError, SurgeonError
from surgeon.recipe.data_plan import SplitPlan
from surgeon.recipe.keys import Choice
from surgeon.results.subscribers import drive

_SAMPLE = 64  # images that are decoded for their size
_SMALL = 200  # images of a class
_TRAINED = 2
_NEAR_COPIES = Choice("near_copies", {})
_ONLY_TRAINED = 0.1  # of the images, at the most, are of classes that are only trained on


def _split_plan(test: float, validation: float, small_classes: str = "fail") -> SplitPlan:
    return SplitPlan(test, validation, 0, _NEAR_COPIES, small_classes)


_NOTHING_HELD_OUT = _split_plan(0, 0)
_SPLITS = (
    _split_plan(0.15, 0.15),
    _split_plan(0.15, 0.15, "train"),
    *(_split_plan(part, 0) for part in (0.15, 0.2, 0.25, 0.33)),
)


@dataclass(frozen=True)
class Survey:
    """What a folder or a table of images holds.

    Attributes:
        path: The folder or the file.
        source: What reads it, with the parameters that are not as usual.
        classes: Images per class.
        splits: Images per split, where there are splits already.
        side: Median of the shorter sides of some images in pixels; 0 if none could be decoded.
        bad: How many of those could not be decoded.
        left_out: The names of photographs that are not among the images, by reason.
        split: What can be held out of them.
        only_trained: Classes of which nothing is held out, since they are too small.
    """

    path: Path
    source: Choice
    classes: Mapping[str, int]
    splits: Mapping[str, int]
    side: int
    bad: int
    left_out: Mapping[str, tuple[str, ...]]
    split: SplitPlan
    only_trained: tuple[str, ...]

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(self.classes.values())


def survey_images(path: Path) -> Survey:
    """Looks at a folder of class folders, at a CSV file with a row for each image, or at what else ``source_of`` tells.

    Raises:
        SurgeonError: If it is none of these.
    """
    name = source_of(path)
    source = Choice(name, likely_columns(path) if name == "csv" else {})
    parameters = {"path": str(path), **source.parameters}
    listing = SOURCES[name].read(parameters, ())
    require_classes(listing, parameters)
    step = max(1, len(listing.images) // _SAMPLE)
    sides, bad = [], 0
    for image in listing.images[::step]:
        try:
            sides.append(min(decode_image(image.read()).size))
        except BadImageError:
            bad += 1
    split, only_trained = _fitting_split(listing.images)
    return Survey(
        path=path.absolute(),
        source=source,
        classes=Counter(image.label for image in listing.images),
        splits=Counter(image.split for image in listing.images if image.split),
        side=round(statistics.median(sides)) if sides else 0,
        bad=bad,
        left_out=listing.left_out,
        split=split,
        only_trained=only_trained,
    )


def _fitting_split(images: Sequence[LabelledImage]) -> tuple[SplitPlan, tuple[str, ...]]:
    """Returns the first of ``_SPLITS`` that leaves at least ``_TRAINED`` images of each class to train on.

    The classes of which it holds nothing out are returned with it; they have a small part of the images.
    """
    labels = [image.label for image in images]
    sizes = Counter(labels)
    # Copies of an image count once and near ones stay together, which in a large class makes no difference.
    small = [image for image in images if sizes[image.label] <= _SMALL]
    content_of = {image.name: _content(image) for image in small}
    looks = drive(look_at_images(small, list(content_of.values())), lambda _: None)
    contents = [content_of.get(image.name, image.name) for image in images]
    groups = name_groups(contents, near_copies(looks))
    source_splits = [image.split for image in images]
    for split in _SPLITS:
        try:
            parts = split_images(labels, contents, groups, source_splits, split)
        except SurgeonError:
            continue
        trained = Counter(label for label, part in zip(labels, parts, strict=True) if part == "train")
        kept = [label for label in sizes if trained[label] == sizes[label]] if split.small_classes == "train" else []
        is_enough = all(trained[label] >= min(_TRAINED, sizes[label]) for label in sizes)
        if is_enough and sum(sizes[label] for label in kept) <= _ONLY_TRAINED * len(labels):
            return split, tuple(kept)
    return _NOTHING_HELD_OUT, ()


def _content(image: LabelledImage) -> str:
    try:
        return hashlib.sha256(image.read()).hexdigest()
    except BadImageError:
        return image.name
