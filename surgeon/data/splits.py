"""Which images are trained on and which are held out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sklearn.model_selection import train_test_split

from surgeon.errors import SurgeonError
from surgeon.recipe.plan import drawn_count
from surgeon.text import first_few

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from surgeon.recipe.plan import SplitPlan


def split_images(
    labels: Sequence[str], digests: Sequence[str], source_splits: Sequence[str | None], plan: SplitPlan
) -> tuple[str, ...]:
    """Assigns each image to a split, stratified by class.

    What the source itself holds out stays as it is. A split that the source does not have is drawn from its
    other images, of which it gets the part that the plan says. Images are drawn by content: neither their
    names nor their order matter, and copies of one image stay together.

    Args:
        labels: The class of each image.
        digests: The digest of each image's bytes.
        source_splits: The split of each image where the source says so, else None.
        plan: What to hold out.

    Returns:
        ``train``, ``validation`` or ``test`` for each image.

    Raises:
        SurgeonError: If a class has too few images to be in each split that is drawn.
    """
    held_out = {digest for digest, split in zip(digests, source_splits, strict=True) if split not in (None, "train")}
    label_of: dict[str, str] = {}
    for digest, label in zip(digests, labels, strict=True):
        if digest not in held_out:
            # Copies may disagree about their class; any choice will do that their order does not change.
            label_of[digest] = min(label, label_of.get(digest, label))
    undrawn = sorted(label_of)
    drawn: dict[str, str] = {}
    for split, part in (("test", plan.test), ("validation", plan.validation)):
        if part > 0 and undrawn and split not in source_splits:
            count = drawn_count(part, len(label_of))
            undrawn, chosen = _draw({digest: label_of[digest] for digest in undrawn}, count, split, plan.seed)
            drawn |= dict.fromkeys(chosen, split)
    return tuple(
        split if split not in (None, "train") else drawn.get(digest, "train")
        for digest, split in zip(digests, source_splits, strict=True)
    )


def _draw(label_of: Mapping[str, str], count: int, split: str, seed: int) -> tuple[list[str], list[str]]:
    """Divides the digests into those left and ``count`` drawn ones, both with every class."""
    digests = sorted(label_of)
    labels = [label_of[digest] for digest in digests]
    sizes = Counter(labels)
    smallest = min(sizes.values())
    if smallest < 2 or not len(sizes) <= count <= len(digests) - len(sizes):
        raise _too_small({label for label in sizes if sizes[label] == smallest}, sizes, count, split)
    left, drawn = train_test_split(digests, test_size=count, random_state=seed, stratify=labels)
    in_both = {label_of[digest] for digest in left} & {label_of[digest] for digest in drawn}
    if len(in_both) < len(sizes):
        raise _too_small(sizes.keys() - in_both, sizes, count, split)
    return left, drawn


def _too_small(labels: set[str], sizes: Counter[str], count: int, split: str) -> SurgeonError:
    named = ", ".join(first_few((f"{label!r} ({sizes[label]})" for label in sorted(labels)), 5))
    return SurgeonError(
        f"cannot take {count} of {sizes.total()} images for {split} with every class on both sides: "
        f"too few images of {named}; copies of one image count once",
        f"add images of that class, leave it out, or change data.split.{split}",
    )
