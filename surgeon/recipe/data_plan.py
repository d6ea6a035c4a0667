"""The part of a compiled recipe that is about images; see ``plan.py``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from surgeon.catalogue.entry import choice, fraction, integer
from surgeon.recipe.keys import (
    REQUIRED,
    Choice,
    Formerly,
    one_of,
    renames,
    section,
    sequence,
    sides,
    text,
)
from surgeon.resizing import INTERPOLATIONS, Resizing


@dataclass(frozen=True)
class SplitPlan:
    """How images are held out, unless the source has splits of its own."""

    test: Annotated[
        float, fraction("Part of all images that is held out for the test.", 0.25, minimum=0, exclusiveMaximum=1)
    ]
    validation: Annotated[
        float, fraction("Part of all images that training watches itself by.", 0.0, minimum=0, exclusiveMaximum=1)
    ]
    seed: Annotated[int, integer("Chooses among the possible splits.", 0, minimum=0, maximum=2**32 - 1)]
    group: Annotated[
        Choice, one_of("grouping", "Which images stay on one side.", default="near_copies"), Formerly("none")
    ]


class Fold(NamedTuple):
    """One of so many parts of about the same size, from 1."""

    number: int
    of: int


def drawn_count(part: float, images: int) -> int:
    """Returns how many of some images a part of them is: rounded up, but not for what floating point adds."""
    return math.ceil(part * images - 1e-9)


@dataclass(frozen=True)
class ClassesPlan:
    """What becomes of the classes that the source has."""

    rename: Annotated[
        Mapping[str, str] | None,
        renames("Other names for some classes; several with one new name become one class, and so does a taken one."),
    ]
    leave_out: Annotated[
        Sequence[str] | None, sequence("Classes that there are no images of.", text("A class of the source."))
    ]
    order: Annotated[
        Sequence[str] | None,
        sequence("All classes that are left, as the network puts them out; by default sorted.", text("A class.")),
    ]


@dataclass(frozen=True)
class DataPlan:
    """The images.

    Attributes:
        image_size: Height and width in pixels to which each image is resized.
    """

    source: Annotated[Choice, one_of("source", "Where the images come from."), REQUIRED]
    classes: Annotated[ClassesPlan | None, section(ClassesPlan)]
    image_size: Annotated[
        tuple[int, int],
        sides(
            "Side in pixels, or [height, width], to which images are resized; "
            "by default what the backbone was trained on, and 224 for a model file that takes any size."
        ),
    ]
    split: Annotated[SplitPlan, section(SplitPlan)]
    folds: Annotated[
        int | None,
        integer(
            "Cross-validation: the number of parts, each of which is tested by a network trained on the others. "
            "`split.test` is ignored.",
            minimum=2,
            maximum=100,
        ),
    ]
    fold: Annotated[
        int | None,
        integer("The part, from 1, that is tested; by default `surgeon run` tests one after the other.", minimum=1),
    ]
    resize: Annotated[Choice, one_of("resizing", "What becomes of a picture of another shape.", default="squash")]
    interpolation: Annotated[
        str, choice("How pixels are interpolated, antialiased: a filter of Pillow's.", INTERPOLATIONS, "bilinear")
    ]
    batch_size: Annotated[int, integer("Images per step.", 32, minimum=1, maximum=1_000_000)]
    on_leak: Annotated[
        str, choice("What to do about an image that is in more than one split.", ("fail", "warn"), "fail")
    ]
    on_bad_image: Annotated[str, choice("What to do about a file that cannot be decoded.", ("fail", "skip"), "fail")]

    @property
    def tested(self) -> Fold | None:
        """The part that a cross-validation tests, the first one if nobody said which; None without one."""
        return None if self.folds is None else Fold(self.fold or 1, self.folds)

    @property
    def resizing(self) -> Resizing:
        """How each image becomes one that the network takes."""
        return Resizing(self.image_size, self.resize.name, interpolation=self.interpolation, **self.resize.parameters)
