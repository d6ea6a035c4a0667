"""Which images are trained on and which are held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from surgeon.errors import SurgeonError
from surgeon.recipe.data_plan import ONLY_TRAINED, drawn_count, small_class_remedy
from surgeon.recipe.pace import nothing_to_draw, nothing_to_fold
from surgeon.text import first_few

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from surgeon.data.dataset import Index
    from surgeon.recipe.data_plan import DataPlan, Fold, SplitPlan


def split_images(
    labels: Sequence[str],
    digests: Sequence[str],
    groups: Sequence[str],
    source_splits: Sequence[str | None],
    plan: SplitPlan,
    tested: Fold | None = None,
) -> tuple[str, ...]:
    """Assigns each image to a split, stratified by class.

    What the source itself holds out stays as it is. A split that the source does not have is drawn from its
    other images, of which it gets the part that the plan says. Images are drawn by content: neither their
    names nor their order matter. Groups stay together, so copies of one image do.

    Where each group is one image, the number of images that are drawn is the part of all, rounded up, and of each class
    it differs by less than one from the same part. Otherwise groups are drawn towards these numbers. As long as groups
    are of one class each, the number of a class then differs from that by at most half of one of its groups, unless
    only a larger one puts the class on both sides. Groups of several classes may miss it by more.

    With ``small_classes: train`` a class that has too few images, or too few groups, to be in each split stays wholly
    with the training images, and so does what shares a group with it; the parts are those of the other images.

    Args:
        labels: The class of each image.
        digests: The digest of each image's bytes.
        groups: The group of each image; equal digests have equal groups.
        source_splits: The split of each image where the source says so, else None.
        plan: What to hold out.
        tested: The part that is the test images instead of what the plan says.

    Returns:
        ``train``, ``validation`` or ``test`` for each image.

    Raises:
        SurgeonError: If a class has too few images, or too few groups, to be in each split that is drawn, unless it may
            be only trained on; or if there are to be folds, and the source has test images of its own.
    """
    if tested is not None and "test" in source_splits:
        raise nothing_to_fold()
    group_of = dict(zip(digests, groups, strict=True))
    label_of = _undrawn(labels, digests, groups, source_splits)
    keep_small = plan.small_classes == "train"
    fold = _fold(label_of, group_of, tested, plan.seed, keep_small=keep_small) if tested else set[str]()
    parts = _drawn_parts(source_splits, plan, tested)
    taken_along = _taken_along(digests, groups, source_splits)
    if parts and not label_of and taken_along:
        raise nothing_to_draw(parts[0][0])
    while True:
        try:
            drawn = {**dict.fromkeys(fold, "test"), **_draw_parts(label_of, group_of, fold, parts, plan.seed)}
            break
        except _SmallClassError as error:
            small = {group_of[digest] for digest, label in label_of.items() if label in error.labels}
            label_of = {digest: label for digest, label in label_of.items() if group_of[digest] not in small}
            if not keep_small or label_of.keys() <= fold:
                more = f"; {taken_along} more are in groups (data.split.group) that the source holds out"
                remedy = small_class_remedy(error.change, keep_small=keep_small)
                raise SurgeonError(f"{error}{more if taken_along else ''}", remedy) from None
    return tuple(
        split if split not in (None, "train") else drawn.get(digest, "train")
        for digest, split in zip(digests, source_splits, strict=True)
    )


def _draw_parts(
    label_of: Mapping[str, str],
    group_of: Mapping[str, str],
    held_out: Collection[str],
    parts: Sequence[tuple[str, float]],
    seed: int,
) -> dict[str, str]:
    """Returns the splits of the digests that are drawn, of those that are not held out already."""
    undrawn = label_of.keys() - held_out
    drawn: dict[str, str] = {}
    for split, part in parts if undrawn else ():
        left = {digest: label_of[digest] for digest in sorted(undrawn)}
        chosen = _draw(left, group_of, drawn_count(part, len(label_of)), split, seed)
        undrawn -= chosen
        drawn |= dict.fromkeys(chosen, split)
    return drawn


class _SmallClassError(Exception):
    """Some classes have too few images to be drawn from; ``change`` is what else in the recipe might help."""

    def __init__(self, labels: Collection[str], message: str, change: str) -> None:
        super().__init__(message)
        self.labels, self.change = frozenset(labels), change


def _taken_along(digests: Sequence[str], groups: Sequence[str], source_splits: Sequence[str | None]) -> int:
    """Returns how many images cannot be drawn, since the source holds out others of their groups."""
    held_out = {at for at, split in enumerate(source_splits) if split not in (None, "train")}
    held_groups, held_digests = {groups[at] for at in held_out}, {digests[at] for at in held_out}
    each = zip(digests, groups, strict=True)
    return sum(group in held_groups and digest not in held_digests for digest, group in each)


def size_notes(index: Index, plan: DataPlan) -> Iterator[str]:
    """Yields a line for each split that was drawn of another size than was asked for, since groups stay together."""
    labels, own = [image.label for image in index.images], [image.split for image in index.images]
    parts = _drawn_parts(own, plan.split, plan.tested)
    undrawn = _undrawn(labels, index.digests, index.groups, own)
    if parts and plan.split.small_classes == "train":  # whose images do not count
        splits = {split for split, _ in parts}
        divided = {label for label, split in zip(labels, index.splits, strict=True) if split in splits}
        groups_of = Counter(label for label, _ in set(zip(labels, index.groups, strict=True)))
        enough = [label for label, count in sorted(groups_of.items()) if count > len(parts) and label not in divided]
        undrawn = {digest: label for digest, label in undrawn.items() if label in divided}
        split, part = min(parts, key=lambda each: each[1])
        if enough:
            them = "it" if len(enough) == 1 else "them"
            yield (
                f"{', '.join(first_few(map(repr, enough), 4))}: only trained on, since data.split.{split}: {part:g} "
                f"is too small a part of the images to have {them}; a larger one lets {them} be tested, too"
            )
    total = len(undrawn)
    for split, part in parts:
        asked = drawn_count(part, total)
        found = {digest for digest, drawn in zip(index.digests, index.splits, strict=True) if drawn == split}
        if total and len(found) != asked:
            because = f"instead of the {asked:,} requested, since groups stay together"
            yield f"{split} has {len(found):,} of {total:,} images {because}"


def draw_folds(
    labels: Sequence[str], groups: Sequence[str], count: int, seed: int, *, keep_small: bool
) -> NDArray[np.intp]:
    """Divides images into folds of about the same size, stratified by class, each group as a whole in one of them.

    Args:
        labels: The class of each image.
        groups: The group of each.
        count: How many folds there are.
        seed: Chooses among the possible folds.
        keep_small: Whether classes with fewer groups than there are folds are in none of them.

    Returns:
        The number of each image's fold, from 0, of shape (n,); -1 for one that is in none.

    Raises:
        SurgeonError: If a class has fewer groups than there are folds, and is not to be kept; or all have.
    """
    different = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    small = {label for label, number in different.items() if number < count}
    if small and not (keep_small and small < different.keys()):
        label, least = min(different.items(), key=lambda item: (item[1], item[0]))
        raise SurgeonError(
            f"{count} folds need {count} different images of each class; {label!r} has {least} (a group counts as one)",
            "ask for fewer folds, or add images of that class" + (f"; or {ONLY_TRAINED}" if not keep_small else ""),
        )
    kept = {group for label, group in zip(labels, groups, strict=True) if label in small}
    divided = np.array([at for at, group in enumerate(groups) if group not in kept])
    number_of = np.full(len(labels), -1, np.intp)
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    of_divided = np.array(labels)[divided], np.array(groups)[divided]
    for number, (_, held_out) in enumerate(folds.split(of_divided[0], *of_divided)):
        number_of[divided[held_out]] = number
    return number_of


def _fold(
    label_of: Mapping[str, str], group_of: Mapping[str, str], tested: Fold, seed: int, *, keep_small: bool
) -> set[str]:
    """Returns the digests of a fold."""
    digests = np.array(sorted(label_of))
    labels, groups = [label_of[digest] for digest in digests], [group_of[digest] for digest in digests]
    return set(
        digests[draw_folds(labels, groups, tested.of, seed, keep_small=keep_small) == tested.number - 1].tolist()
    )


def _drawn_parts(source_splits: Sequence[str | None], plan: SplitPlan, tested: Fold | None) -> list[tuple[str, float]]:
    """Returns the splits that are drawn, since the source has them not, with their parts of the images."""
    parts = [("test", 0.0 if tested else plan.test), ("validation", plan.validation)]
    return [(split, part) for split, part in parts if part > 0 and split not in source_splits]


def _undrawn(
    labels: Sequence[str], digests: Sequence[str], groups: Sequence[str], source_splits: Sequence[str | None]
) -> dict[str, str]:
    """Returns the digests with their classes of which splits are drawn: none whose group the source holds out."""
    held_out = {group for group, split in zip(groups, source_splits, strict=True) if split not in (None, "train")}
    label_of: dict[str, str] = {}
    for digest, group, label in zip(digests, groups, labels, strict=True):
        if group not in held_out:
            # Copies may disagree about their class; any choice will do that their order does not change.
            label_of[digest] = min(label, label_of.get(digest, label))
    return label_of


def _draw(label_of: Mapping[str, str], group_of: Mapping[str, str], count: int, split: str, seed: int) -> set[str]:
    """Returns about ``count`` of the digests, whole groups that are of every class and leave every class.

    scikit-learn draws single images, which say how many there shall be of each class. Of these the ones that are by
    themselves are taken, then groups, then others that are by themselves, as long as they fit into these numbers.
    """
    digests = list(label_of)
    labels = list(label_of.values())
    sizes = Counter(labels)
    smallest = min(sizes.values())
    if smallest < 2 or not len(sizes) <= count <= len(digests) - len(sizes):
        raise _too_small({label for label in sizes if sizes[label] == smallest}, sizes, count, split)
    left, sample = train_test_split(digests, test_size=count, random_state=seed, stratify=labels)
    in_both = {label_of[digest] for digest in left} & {label_of[digest] for digest in sample}
    if len(in_both) < len(sizes):
        raise _too_small(sizes.keys() - in_both, sizes, count, split)

    members: dict[str, list[str]] = {}
    for digest in digests:
        members.setdefault(group_of[digest], []).append(digest)
    content = {group: Counter(label_of[digest] for digest in inside) for group, inside in members.items()}
    chance = {group: hashlib.sha256(f"{seed} {group}".encode()).digest() for group in members}
    in_sample = set(sample)
    turn = {group: 1 if len(inside) > 1 else 0 if inside[0] in in_sample else 2 for group, inside in members.items()}
    drawn = _fill(
        sorted(members, key=lambda group: (turn[group], chance[group])),
        content,
        Counter(label_of[digest] for digest in sample),
        sizes,
    )
    absent = sizes.keys() - {label for group in drawn for label in content[group]}
    if absent:
        counts = Counter(label for group in content for label in content[group])
        raise _too_few_groups(absent, sizes, counts, count, split)
    return {digest for group in drawn for digest in members[group]}


def _fill(
    groups: Sequence[str], content: Mapping[str, Counter[str]], wanted: Mapping[str, int], sizes: Mapping[str, int]
) -> list[str]:
    """Returns the groups that come near to the wanted number of each class; no class is taken wholly."""
    missing, left, drawn = dict(wanted), dict(sizes), dict[str, None]()

    def take(group: str) -> None:
        if all(left[label] > number for label, number in content[group].items()):
            drawn[group] = None
            for label, number in content[group].items():
                missing[label] -= number
                left[label] -= number

    for group in groups:  # that fit; then those that are nearer than without, though they are more than is missing
        if all(number <= missing[label] for label, number in content[group].items()):
            take(group)
    for group in groups:
        change = sum(abs(missing[label] - number) - abs(missing[label]) for label, number in content[group].items())
        if group not in drawn and change < 0:
            take(group)
    for group in sorted(groups, key=lambda group: content[group].total()):
        if any(missing[label] == wanted[label] for label in content[group]):  # nothing of that class is drawn yet
            take(group)
    return list(drawn)


def _too_small(labels: set[str], sizes: Counter[str], count: int, split: str) -> _SmallClassError:
    taken, change = f"cannot take {count} of {sizes.total()} images for {split}", f"data.split.{split}"
    if min(sizes.values()) > 1 and not len(sizes) <= count <= sizes.total() - len(sizes):
        fault = f"too {'few' if count < len(sizes) else 'many'} to have all {len(sizes)} classes on both sides"
        return _SmallClassError(labels, f"{taken}: {fault}", change)
    named = ", ".join(first_few((f"{label!r} ({sizes[label]})" for label in sorted(labels)), 5))
    fault = f"too few images of {named}; copies of one image count once"
    return _SmallClassError(labels, f"{taken} with every class on both sides: {fault}", change)


def _too_few_groups(
    labels: set[str], sizes: Counter[str], groups: Counter[str], count: int, split: str
) -> _SmallClassError:
    described = (
        f"{label!r} ({sizes[label]} images in {groups[label]} group{'s' * (groups[label] > 1)})"
        for label in sorted(labels)
    )
    named = ", ".join(first_few(described, 5))
    return _SmallClassError(
        labels,
        f"cannot take {count} of {sizes.total()} images for {split} with every class on both sides: "
        f"groups stay together, and there are too few with images of {named}",
        "data.split.group: `none` keeps only copies together",
    )
