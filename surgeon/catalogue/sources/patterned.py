"""What the names of files say, found by regular expressions: the split, and the class."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from surgeon.catalogue.entry import Parameters, path, regex
from surgeon.catalogue.sources.listing import (
    LabelledImage,
    Listing,
    SourceSpec,
    complete_listing,
    readable_name,
    unreadable,
)
from surgeon.catalogue.sources.misplaced import describe_file
from surgeon.catalogue.sources.split_names import ARE_SPLITS, split_called
from surgeon.catalogue.sources.walk import walk
from surgeon.errors import SurgeonError, quote
from surgeon.patterns import first_groups, spell_pattern
from surgeon.text import first_few

_NAMED = 4
_UNMATCHED = "images in whose names the pattern finds no class"

SPLIT_PATTERN = regex("A regular expression whose first group finds train, val or test in each file name.")


def with_splits(listing: Listing, pattern: str | None) -> Listing:
    """Returns a listing with the splits that the names of its files say."""
    if pattern is None:
        return listing
    said = first_groups(pattern, [image.name.rpartition("/")[2] for image in listing.images])
    splits = [split_called(text or "") for text in said]
    silent = [quote(image.name) for image, split in zip(listing.images, splits, strict=True) if split is None]
    if silent:
        raise SurgeonError(
            f"split_pattern {spell_pattern(pattern)} finds no split in {len(silent):,} of {len(splits):,} file names: "
            + ", ".join(first_few(silent, _NAMED)),
            "its first group has to match train, val or test in every file name",
        )
    images = (replace(image, split=split) for image, split in zip(listing.images, splits, strict=True))
    return replace(listing, images=tuple(images))


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    root, pattern = Path(parameters["path"]), parameters["pattern"]
    images: list[tuple[str, Path]] = []
    left_out: dict[str, list[str]] = {}
    ignored = 0
    try:
        if not root.is_dir():
            raise describe_file(root)
        for found in walk(root):
            name = readable_name(found.path.relative_to(root).as_posix())
            if found.is_image:
                images.append((name, found.path))
            elif found.reason is not None:
                left_out.setdefault(found.reason, []).append(name)
            else:
                ignored += 1
    except OSError as error:
        raise unreadable(root, error) from error
    labels = first_groups(pattern, [name.rpartition("/")[2] for name, _ in images])
    named = [(name, label, file) for (name, file), label in zip(images, labels, strict=True) if label]
    has_splits = parameters.get("splits", True) and _lie_in_splits(name for name, _, _ in named)
    labelled = [
        LabelledImage(name, label, split_called(name.partition("/")[0]) if has_splits else None, file)
        for name, label, file in named
    ]
    if unmatched := [name for (name, _), label in zip(images, labels, strict=True) if not label]:
        left_out[_UNMATCHED] = unmatched
    if images and not labelled:
        raise SurgeonError(
            f"the pattern {spell_pattern(pattern)} finds no class in {len(images):,} file names: "
            + ", ".join(first_few(map(quote, unmatched), _NAMED)),
            r"its first group has to match the class, such as '^(.+)_\d+' in 'maine_coon_12.jpg'",
        )
    return with_splits(complete_listing(labelled, ignored, left_out), parameters.get("split_pattern"))


def _lie_in_splits(names: Iterable[str]) -> bool:
    """Tells whether there are images, each in a folder below the root that is called like a split."""
    folders = {name.partition("/")[0] if "/" in name else "" for name in names}
    return bool(folders) and all(map(split_called, folders))


def _has_splits(parameters: Parameters) -> bool:
    if parameters.get("split_pattern"):
        return True
    try:
        return any(image.split for image in _read(parameters, ()).images)
    except (ValueError, SurgeonError):
        return False  # what is wrong is said when the images are read


SPEC = SourceSpec(
    name="file_names",
    summary="Images whose file names say the class, such as `maine_coon_12.jpg`; train/, validation/ and test/ may be "
    "above them.",
    parameters={
        "path": path("The folder that holds the images or the splits; images may lie in it at any depth."),
        "pattern": regex(r"A regular expression whose first group finds the class in each file name: `'^(.+)_\d+'`."),
        "splits": ARE_SPLITS,
        "split_pattern": SPLIT_PATTERN,
    },
    required=("path", "pattern"),
    read=_read,
    splits=_has_splits,
)
