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

ONLY_TRAINED = "only train on it (data.split.small_classes: train)"  # what a small class can do


@dataclass(frozen=True)
class SplitPlan:
    """How images are held out, unless the source has splits of its own."""

    test: Annotated[
        float, fraction("Fraction of all images that is held out for testing.", 0.25, minimum=0, exclusiveMaximum=1)
    ]
    validation: Annotated[
        float, fraction("Fraction of all images that is held out for validation.", 0.0, minimum=0, exclusiveMaximum=1)
    ]
    seed: Annotated[int, integer("Seed of the random split.", 0, minimum=0, maximum=2**32 - 1)]
    group: Annotated[
        Choice, one_of("grouping", "Which images stay in the same split.", default="near_copies"), Formerly("none")
    ]
    small_classes: Annotated[
        str,
        choice(
            "What to do about a class with too few images to be in every split: report it, or only train on it.",
            ("fail", "train"),
            "fail",
        ),
    ]


class Fold(NamedTuple):
    """One of so many parts of about the same size, from 1."""

    number: int
    of: int


def drawn_count(part: float, images: int) -> int:
    """Returns how many of some images a part of them is: rounded up, but not for what floating point adds."""
    return math.ceil(part * images - 1e-9)


def small_class_remedy(change: str, *, keep_small: bool) -> str:
    """Returns what to do about a class that is too small to be divided.

    Args:
        change: What else in the recipe might help.
        keep_small: Whether such classes are only trained on already.
    """
    kept = "" if keep_small else f"{ONLY_TRAINED}, "
    return f"add images of that class, {kept}leave it out, or change {change}"


@dataclass(frozen=True)
class ClassesPlan:
    """How the classes of the source are renamed, left out and ordered."""

    rename: Annotated[
        Mapping[str, str] | None,
        renames("New names for some classes; classes that get the same name, or that of another class, are merged."),
    ]
    leave_out: Annotated[
        Sequence[str] | None, sequence("Classes to leave out, with their images.", text("A class of the source."))
    ]
    order: Annotated[
        Sequence[str] | None,
        sequence("All remaining classes, in the order of the network's outputs; by default sorted.", text("A class.")),
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
            "by default the size that the backbone was trained on, or 224 for a model file that takes any size."
        ),
    ]
    split: Annotated[SplitPlan, section(SplitPlan)]
    folds: Annotated[
        int | None,
        integer(
            "Cross-validation: the number of folds, each tested by a network that was trained on the others. "
            "`split.test` is ignored.",
            minimum=2,
            maximum=100,
        ),
    ]
    fold: Annotated[
        int | None,
        integer("The fold to test, from 1; by default `surgeon run` tests each in turn.", minimum=1),
    ]
    resize: Annotated[Choice, one_of("resizing", "How images of another aspect ratio are resized.", default="squash")]
    interpolation: Annotated[
        str, choice("Interpolation, with antialiasing: one of Pillow's filters.", INTERPOLATIONS, "bilinear")
    ]
    batch_size: Annotated[int, integer("Images per step.", 32, minimum=1, maximum=1_000_000)]
    on_leak: Annotated[
        str,
        choice(
            "What to do about an image, or a group that `split.group` names, in more than one split; near copies are "
            "a warning.",
            ("fail", "warn"),
            "fail",
        ),
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
