"""What is wrong with the images of a source, said before the night that a run takes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeVar

from surgeon.catalogue.sources.listing import left_out_lines
from surgeon.catalogue.sources.walk import UNOPENED
from surgeon.data.groups import name_groups, near_copies
from surgeon.data.looks import Facts, look_at_images
from surgeon.formats import FORMATS
from surgeon.resizing import Resizing
from surgeon.results.findings import SEVERITIES, Finding
from surgeon.text import first_few

if TYPE_CHECKING:
    from collections.abc import Generator

    from surgeon.data.dataset import Index
    from surgeon.results.events import Progress

_NAMED = 4  # images that a message names
_IMBALANCE = 3.0  # times as many images as another class
_ENLARGEMENT = 2.0  # more pixels a side than the file has are invented
_DISTORTION = 2.5  # of a photograph of 16:9 for a square network it is 1.8
_MADE_FIT = {  # what becomes of an image of such a shape, by the rule of resizing
    "squash": f"squeezed more than {_DISTORTION:g} times along one side",
    "crop": f"cut to less than 1/{_DISTORTION:g} along one side",
    "pad": f"padded with more than {1 - 1 / _DISTORTION:.0%} black",
}
_EMPTY = hashlib.sha256().hexdigest()
_FORMAT_OF_SUFFIX = {suffix: name for name, suffixes in FORMATS.items() for suffix in suffixes}

Key = TypeVar("Key")


@dataclass(frozen=True, eq=False)
class CheckedImages:
    """The images of a source and what was found about them, the worst first."""

    index: Index
    findings: tuple[Finding, ...]


def quick_checks(index: Index, grouping: str) -> tuple[Finding, ...]:
    """Finds what an index tells by itself, without reading a file again.

    That is the same file in two splits or under two labels, groups in two splits, further copies of a file, classes
    that a split lacks, and classes of very different size.

    Args:
        index: The images.
        grouping: The name of ``data.split.group``, by which they are grouped.
    """
    whole = [at for at, digest in enumerate(index.digests) if digest != _EMPTY]
    copies = [group for group in _by(whole, index.digests.__getitem__).values() if len(group) > 1]
    return (*_same(index, copies, ""), *_absent(index), *_imbalance(index), *_torn(index, grouping))


def check_images(index: Index, grouping: str, resizing: Resizing) -> Generator[Progress, None, tuple[Finding, ...]]:
    """Looks at every image of an index and finds what is wrong with them, ``quick_checks`` included.

    Args:
        index: The images.
        grouping: The name of ``data.split.group``, by which they are grouped.
        resizing: How a run resizes them.

    Returns:
        The findings, errors first.
    """
    looks = yield from look_at_images(index.images, index.digests)
    seen = [looks[digest] for digest in index.digests]
    facts = {at: found for at, found in enumerate(seen) if isinstance(found, Facts)}
    findings = [
        *_unreadable(index, seen),
        *_left_out(index),
        *quick_checks(index, grouping),
        *_same(index, _near_groups(index, looks), "near-"),
        *_suffixes(index, facts),
        *_sizes(index, facts, resizing),
        *_grey(index, facts),
        *_turned(index, facts),
    ]
    return by_severity(dict.fromkeys(findings))  # near copies in two splits are found twice if they are the groups


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Returns findings with the errors first, otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def _near_groups(index: Index, looks: Mapping[str, Facts | str]) -> list[list[int]]:
    """Returns the groups of images of nearly the same picture in files that differ, as positions."""
    names = name_groups(index.digests, near_copies(looks))
    groups = _by(range(len(names)), names.__getitem__).values()
    return [group for group in groups if len({index.digests[at] for at in group}) > 1]


def _same(index: Index, groups: Iterable[Sequence[int]], near: str) -> Iterator[Finding]:
    """Says of groups of images that show the same picture what that means; ``near`` begins the kinds."""
    what = "nearly the same picture" if near else "the same file"
    for group in groups:
        labels = _by(group, lambda at: index.images[at].label)
        splits = _by(group, index.splits.__getitem__)
        if len(splits) > 1:
            message = f"{what} is in {_spell(index, splits)}, so test figures would be too good; keep one copy"
            yield Finding(f"{near}leak", "error", _mixed(index, splits), message)
        if len(labels) > 1:
            message = f"{what} is labelled {_spell(index, labels)}; keep the correct label"
            yield Finding(f"{near}two-labels", "error", _mixed(index, labels), message)
        if len(splits) == len(labels) == 1:
            often = "twice" if len(group) == 2 else f"{len(group)} times"
            message = f"{what} is there {often}: {_some(index, group)}; keep one"
            yield Finding(f"{near}copies", "warning", _names(index, group), message)


def _torn(index: Index, grouping: str) -> Iterator[Finding]:
    """Says of groups of different images that are in several splits, as only those of the source itself can be."""
    torn = [
        group
        for group in _by(range(len(index.groups)), index.groups.__getitem__).values()
        if len({index.splits[at] for at in group}) > 1 and len({index.digests[at] for at in group}) > 1
    ]
    if grouping == "near_copies":
        yield from (finding for finding in _same(index, torn, "near-") if finding.kind == "near-leak")
        return
    for group in torn:
        splits = _by(group, index.splits.__getitem__)
        message = (
            f"a group that data.split.group ({grouping}) keeps together is in {_spell(index, splits)}, "
            "so test figures would be too good; these splits are the source's own: correct them there"
        )
        yield Finding("group-leak", "error", _mixed(index, splits), message)


def _absent(index: Index) -> Iterator[Finding]:
    for split, counts in index.counts().items():
        absent = [label for label, count in counts.items() if not count]
        if absent:
            them = "it" if len(absent) == 1 else "them"
            effect = f"the network cannot learn {them}" if split == "train" else f"nothing is measured on {them}"
            message = f"{split} has no image of {_listed(absent)}; {effect}"
            yield Finding("absent-class", "warning", (), message)


def _imbalance(index: Index) -> Iterator[Finding]:
    counts = Counter({label: count for label, count in index.counts().get("train", {}).items() if count})
    if not counts:
        return
    (most, many), *_ = ordered = counts.most_common()
    least, few = ordered[-1]
    if many > _IMBALANCE * few:
        message = (
            f"{most} has {many:,} training images and {least} {few:,}, a ratio of {many / few:.1f}; "
            "more images of rare classes help, and so does class_weight in each phase"
        )
        yield Finding("imbalance", "warning", (), message)


def _unreadable(index: Index, seen: Sequence[Facts | str]) -> Iterator[Finding]:
    for image, found in zip(index.images, seen, strict=True):
        if isinstance(found, str):
            message = f"{image.name}: {found}"
            yield Finding("unreadable", "error", (image.name,), message)


def _left_out(index: Index) -> Iterator[Finding]:
    for (reason, names), line in zip(index.left_out.items(), left_out_lines(index.left_out), strict=True):
        yield Finding("left-out", "error" if reason == UNOPENED else "warning", names, line)


def _suffixes(index: Index, facts: Mapping[int, Facts]) -> Iterator[Finding]:
    suffixes = {at: PurePath(index.images[at].name).suffix.lower() for at in facts}
    wrong = [at for at, found in facts.items() if _FORMAT_OF_SUFFIX.get(suffixes[at], found.format) != found.format]
    for (suffix, content), group in _by(wrong, lambda at: (suffixes[at], facts[at].format)).items():
        message = f"{_count(group)} named {suffix} but {content} inside: {_some(index, group)}; surgeon reads these too"
        yield Finding("suffix", "warning", _names(index, group), message)


def _sizes(index: Index, facts: Mapping[int, Facts], resizing: Resizing) -> Iterator[Finding]:
    height, width = resizing.size
    small = [at for at, found in facts.items() if _enlargement(found.size, resizing) > _ENLARGEMENT]
    if small:
        least = min((facts[at].size for at in small), key=min)
        message = (
            f"{_count(small)} much smaller than the {height} x {width} pixels that the network sees, the smallest "
            f"{least[0]} x {least[1]}: {_some(index, small)}; if they are thumbnails, use the originals"
        )
        yield Finding("small", "warning", _names(index, small), message)
    narrow = [at for at, found in facts.items() if _distortion(found.size, resizing.size) > _DISTORTION]
    if narrow:
        message = (
            f"{_count(narrow)} {_MADE_FIT[resizing.rule]} to {height} x {width} pixels: "
            f"{_some(index, narrow)}; crop what matters"
        )
        yield Finding("aspect", "warning", _names(index, narrow), message)


def _enlargement(size: tuple[int, int], resizing: Resizing) -> float:
    taken, covered = resizing.taken(size), resizing.covered(size)
    return max(covered.height / taken.height, covered.width / taken.width)


def _distortion(size: tuple[int, int], image_size: tuple[int, int]) -> float:
    ratio = (size[0] / size[1]) / (image_size[0] / image_size[1])
    return max(ratio, 1 / ratio)


def _grey(index: Index, facts: Mapping[int, Facts]) -> Iterator[Finding]:
    grey = [at for at, found in facts.items() if found.is_grey]
    if 0 < len(grey) < len(facts) / 2:
        message = (
            f"{_count(grey)} grey among {len(facts) - len(grey):,} in colour: {_some(index, grey)}; "
            "if one class has more of them than others, the network may learn that instead"
        )
        yield Finding("grey", "info", _names(index, grey), message)


def _turned(index: Index, facts: Mapping[int, Facts]) -> Iterator[Finding]:
    turned = [at for at, found in facts.items() if found.orientation != 1]
    if turned:
        message = (
            f"{_count(turned)} stored rotated or mirrored, according to EXIF: {_some(index, turned)}; "
            "surgeon turns them upright, other tools may not"
        )
        yield Finding("orientation", "info", _names(index, turned), message)


def _by(positions: Iterable[int], key: Callable[[int], Key]) -> dict[Key, list[int]]:
    groups: dict[Key, list[int]] = {}
    for at in positions:
        groups.setdefault(key(at), []).append(at)
    return groups


def _names(index: Index, positions: Iterable[int]) -> tuple[str, ...]:
    return tuple(index.images[at].name for at in positions)


def _mixed(index: Index, groups: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """Returns all names once, beginning with one of each group, since some are all that a person is shown."""
    first = [group[0] for group in groups.values()]
    return tuple(dict.fromkeys(_names(index, [*first, *(at for group in groups.values() for at in group)])))


def _spell(index: Index, groups: Mapping[str, Sequence[int]]) -> str:
    return " and ".join(f"{name} ({_some(index, group)})" for name, group in groups.items())


def _some(index: Index, positions: Sequence[int]) -> str:
    return _listed(_names(index, positions))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(first_few(names, _NAMED))


def _count(positions: Sequence[int]) -> str:
    return "1 image is" if len(positions) == 1 else f"{len(positions):,} images are"
