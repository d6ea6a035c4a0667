"""Whether what a phase's schedule and optimizer say can happen in the steps that it has."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from surgeon.catalogue.entry import Misfit, PhaseLength
from surgeon.catalogue.optimizers import OPTIMIZERS
from surgeon.catalogue.schedules import SCHEDULES
from surgeon.errors import Diagnostic, Location, RecipeError, SurgeonError
from surgeon.recipe.data_plan import drawn_count
from surgeon.recipe.text import spell_path

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from surgeon.catalogue.sources.listing import Listing
    from surgeon.recipe.keys import Choice
    from surgeon.recipe.plan import Plan
    from surgeon.recipe.text import ValuePath


def phase_length(epochs: int, images: int | None, batch_size: int) -> PhaseLength:
    """Returns the length of a phase that trains on so many images, or on who knows how many."""
    return PhaseLength(epochs, images and math.ceil(images / batch_size))


def phase_misfits(lr: Choice, optimizer: Choice, length: PhaseLength) -> Iterator[tuple[ValuePath, Misfit]]:
    """Yields each parameter that cannot do what it says in a phase of that length, with its path in the phase."""
    for misfit in SCHEDULES[lr.name].misfits(lr.parameters, length):
        yield ("lr", lr.name, misfit.parameter), misfit
    for misfit in OPTIMIZERS[optimizer.name].misfits(optimizer.parameters, length):
        yield ("optimizer", optimizer.name, misfit.parameter), misfit


def check_pace(plan: Plan, images: int) -> None:
    """Checks every phase of a plan against the steps that it has.

    Args:
        plan: What is asked for.
        images: How many images are trained on.

    Raises:
        RecipeError: With every parameter that could not do what it says.
    """
    problems = []
    for at, phase in enumerate(plan.phases):
        length = phase_length(phase.epochs, images, plan.data.batch_size)
        for below, misfit in phase_misfits(phase.lr, phase.optimizer, length):
            path = spell_path(("phases", at, *below))
            origin = next(origin for known, origin in plan.origins.items() if known.startswith(path))
            problems.append(Diagnostic("misfit", misfit.message, Location(origin), path, misfit.hint))
    if problems:
        raise RecipeError(problems)


def nothing_to_fold() -> SurgeonError:
    """Returns what to say of folds where the source has test images of its own."""
    return SurgeonError(
        "the source has its own test images, so there are no folds to draw",
        "leave out data.folds, or give the images without that split",
    )


def nothing_to_draw(split: str) -> SurgeonError:
    """Returns what to say of a split for which groups leave no image."""
    return SurgeonError(
        f"no image is left for {split}: all are in groups (data.split.group) of images that the source holds out",
        f"mend the splits of the source, leave that one out (data.split.{split}: 0), or change data.split.group",
    )


@dataclass(frozen=True)
class Shares:
    """What is drawn, as the recipe asks for it.

    Attributes:
        test: The part of the images.
        validation: The part of the images.
        folds: How many test splits there are in turn; 1 without a cross-validation.
        keep_small: Whether classes that are too small are only trained on.
    """

    test: float
    validation: float
    folds: int
    keep_small: bool


def draw_splits(listing: Listing, keys: Sequence[str | None], shares: Shares) -> tuple[int, list[tuple[str, str]]]:
    """Draws splits by counting, as if no image had a copy.

    Args:
        listing: The images.
        keys: What each shares with the others of its group, None for an image that is by itself.
        shares: What is asked for.

    Returns:
        About how many images are left to train on; and for each split that cannot be drawn with every class on both
        sides its name and why.

    Raises:
        SurgeonError: If groups leave no image to draw.
    """
    own = {image.split for image in listing.images}
    groups = [at if key is None else key for at, key in enumerate(keys)]
    each = list(zip(listing.images, groups, strict=True))
    held_out = {group for image, group in each if image.split not in (None, "train")}
    trained = sum(image.split in (None, "train") for image, _ in each)
    undrawn = [(image.label, group) for image, group in each if group not in held_out]
    asked = (("test", shares.test), ("validation", shares.validation))
    parts = [(split, part) for split, part in asked if part and split not in own]
    if trained and parts and not undrawn:
        raise nothing_to_draw(parts[0][0])
    while True:
        drawn, failures = _draw(undrawn, parts, shares.folds)
        different = Counter(label for label, _ in set(undrawn))
        small = {label for label, count in different.items() if count == min(different.values())}
        if not failures or not shares.keep_small or small == different.keys():
            return trained - drawn, failures
        undrawn = [(label, group) for label, group in undrawn if label not in small]


def _draw(
    undrawn: Sequence[tuple[str, Hashable]], parts: Sequence[tuple[str, float]], folds: int
) -> tuple[int, list[tuple[str, str]]]:
    """Returns how many of some images are drawn, given their classes and groups, and which part cannot be and why."""
    sizes, groups = Counter(label for label, _ in undrawn), Counter(label for label, _ in set(undrawn))
    total = left = sizes.total()
    failures, sides = [], 1
    for name, part in parts if total else ():
        count, sides = drawn_count(part, total), sides + 1
        in_folds = name == "test" and folds > 1
        label, least = min(groups.items(), key=lambda item: (item[1], item[0]))
        if least < (folds if in_folds else sides):
            size = sizes[label]
            images = f"{size:,} image{'s' * (size > 1)}"
            if least < size:
                images += f" in {least} group{'s' * (least > 1)}"
            what = f"{folds} folds" if in_folds else f"a {name} split with every class on both sides"
            failures.append((name, f"{label!r} has {images}, too few for {what}"))
        elif not len(sizes) <= count <= left - len(sizes):
            message = f"{count} of {left} images for {name} are too {'few' if count < len(sizes) else 'many'}"
            failures.append((name, f"{message} to have all {len(sizes)} classes on both sides"))
        left -= count
    return total - left, failures
