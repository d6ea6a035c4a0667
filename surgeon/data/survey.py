"""A first look at a folder of images, for drafting a recipe."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from surgeon.catalogue.sources import SOURCES
from surgeon.data.images import decode_image
from surgeon.errors import BadImageError

_SAMPLE = 64  # images that are decoded for their size


@dataclass(frozen=True)
class Survey:
    """What a folder holds.

    Attributes:
        classes: Images a class.
        splits: Images a split, for a folder that has splits of its own.
        side: Median of the shorter sides of some images in pixels; 0 if none could be decoded.
        bad: How many of those could not be decoded.
        ignored: Hidden files and non-images.
    """

    folder: Path
    classes: Mapping[str, int]
    splits: Mapping[str, int]
    side: int
    bad: int
    ignored: int

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(self.classes.values())


def survey_folder(folder: Path) -> Survey:
    """Looks at a folder of class folders.

    Raises:
        SurgeonError: If it is none.
    """
    listing = SOURCES["folder"].read({"path": str(folder)}, ())
    step = max(1, len(listing.images) // _SAMPLE)
    sides, bad = [], 0
    for image in listing.images[::step]:
        try:
            sides.append(min(decode_image(image.read()).size))
        except BadImageError:
            bad += 1
    return Survey(
        folder=folder.absolute(),
        classes=Counter(image.label for image in listing.images),
        splits=Counter(image.split for image in listing.images if image.split),
        side=round(statistics.median(sides)) if sides else 0,
        bad=bad,
        ignored=listing.ignored,
    )
