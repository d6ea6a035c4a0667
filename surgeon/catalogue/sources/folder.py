"""Class folders of images, or splits above them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from surgeon.catalogue.entry import Parameters, path
from surgeon.catalogue.sources.listing import (
    LabelledImage,
    Listing,
    SourceSpec,
    complete_listing,
    readable_name,
    unreadable,
)
from surgeon.catalogue.sources.misplaced import describe_file, describe_folder
from surgeon.catalogue.sources.patterned import SPLIT_PATTERN, with_splits
from surgeon.catalogue.sources.split_names import ARE_SPLITS, split_called, splits_in
from surgeon.catalogue.sources.walk import EMPTY, STRAY, is_passed_over, walk
from surgeon.errors import SurgeonError, quote
from surgeon.text import first_few


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    root = Path(parameters["path"])
    try:
        if not root.is_dir():
            raise describe_file(root)
        depth = _class_depth(root, parameters)
        listing = with_splits(_list(root, depth), parameters.get("split_pattern"))
    except OSError as error:
        raise unreadable(root, error) from error
    if not listing.images:
        raise describe_folder(root, listing, has_splits=depth == 1)
    return listing


def _list(root: Path, depth: int) -> Listing:
    """Lists the images below ``root`` whose class is the folder at a depth; at 1 the folder above it is the split."""
    images = []
    ignored = 0
    left_out: dict[str, list[str]] = {}
    for found in walk(root):
        *folders, _ = found.path.relative_to(root).parts
        name = readable_name(found.path.relative_to(root).as_posix())
        if found.is_image and len(folders) > depth:
            split = split_called(folders[0]) if depth else None
            images.append(LabelledImage(name, readable_name(folders[depth]), split, found.path))
        elif found.is_image:
            left_out.setdefault(STRAY, []).append(name)
        elif found.reason is not None:
            left_out.setdefault(found.reason, []).append(name)
        else:
            ignored += 1
    filled = {image.path.relative_to(root).parts[: depth + 1] for image in images if image.path}
    empty = [folder for folder in _class_folders(root, depth) if folder.relative_to(root).parts not in filled]
    if empty:
        left_out[EMPTY] = [readable_name(folder.relative_to(root).as_posix()) for folder in empty]
    return complete_listing(images, ignored, left_out)


def _classes(parameters: Parameters) -> tuple[str, ...] | None:
    root = Path(parameters["path"])
    try:
        folders = _class_folders(root, _class_depth(root, parameters))
        return tuple(sorted({readable_name(folder.name) for folder in folders if _has_image(folder)})) or None
    except (OSError, ValueError, SurgeonError):
        return None  # what is wrong is said when the images are read


def _has_splits(parameters: Parameters) -> bool:
    if parameters.get("split_pattern"):
        return True
    root = Path(parameters["path"])
    try:
        return _class_depth(root, parameters) == 1
    except (OSError, ValueError, SurgeonError):
        return False


def _class_folders(root: Path, depth: int) -> list[Path]:
    """Returns the folders that stand for classes, or might if there were images in them."""
    folders = _folders(root)
    return [inner for folder in folders for inner in _folders(folder)] if depth else folders


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if not is_passed_over(entry.name) and entry.is_dir()]
    return [folder / name for name in sorted(found)]


def _has_image(folder: Path) -> bool:
    return any(found.is_image for found in walk(folder))


def _class_depth(root: Path, parameters: Parameters) -> int:
    """Returns how deep below ``root`` the class folders are: 0, or 1 where the folders in it are splits.

    Raises:
        SurgeonError: If its folders could be either.
    """
    if not parameters.get("splits", True):
        return 0
    below = {folder.name: _image_folders(folder) for folder in _folders(root) if _has_image(folder)}
    return class_depth(root, below, parameters)


def class_depth(root: str | Path, below: Mapping[str, frozenset[str]], parameters: Parameters) -> int:
    """Returns how deep the class folders are, given what is below the folders that hold images.

    Args:
        root: The folder or the archive, for messages.
        below: For each of the folders the folders in it, if its images are all in such.
        parameters: Of the source.

    Raises:
        SurgeonError: If the folders could be splits or classes.
    """
    if not parameters.get("splits", True) or not below:
        return 0
    if all(map(split_called, below)):
        if parameters.get("split_pattern"):
            raise SurgeonError(
                f"the folders in {root} are splits already: {_listed(sorted(below))}",
                "remove split_pattern or, if they are classes, add splits: false",
            )
        return 1
    if doubt := _doubt(below):
        raise SurgeonError(
            f"the folders in {root} are neither clearly splits nor clearly classes: {doubt}",
            "if they are splits, name them train, validation and test and move everything else elsewhere; "
            "if they are classes, add splits: false next to the path in data.source",
        )
    return 0  # one `test` among others is a class of that name


def _image_folders(folder: Path) -> frozenset[str]:
    """Returns the folders in ``folder`` that hold images, none if it holds images itself."""
    try:
        found = [inner.name for inner in _folders(folder) if _has_image(inner)]
    except OSError:
        return frozenset()
    return frozenset(found) if found and not _holds_images(folder) else frozenset()


def _holds_images(folder: Path) -> bool:
    """Tells whether an image lies in a folder itself; of what lies below, files come first."""
    return next((found.path.parent == folder for found in walk(folder) if found.is_image), False)


def _doubt(below: Mapping[str, frozenset[str]]) -> str | None:
    """Returns why folders that are not all called as splits may be splits nonetheless, or None.

    Args:
        below: For each of the folders the folders in it, if its images are all in such.
    """
    splits = [name for name in below if split_called(name)]
    other = next(name for name in below if name not in splits)
    if len(splits) > 1:
        return f"{_listed(splits)} are named like splits, next to {quote(other)}"
    for name in splits:
        shared = below[name] & {folder for known, folders in below.items() if known != name for folder in folders}
        if len(below[name]) > 1 or shared:
            return f"{quote(name)} is named like a split and contains folders like one, next to {quote(other)}"
    alike = [name for name, inner in below.items() if inner and splits_in(name)]
    if len({split for name in alike for split in splits_in(name)}) > 1:
        return f"{_listed(alike)} have names that resemble splits"
    inside = {folder for folders in below.values() for folder in folders if split_called(folder)}
    if inside and sum(inside <= folders for folders in below.values()) > 1:
        return f"{_listed(sorted(below))} each hold {_listed(sorted(inside))}, which are named like splits"
    for first, second in combinations(sorted(name for name, inner in below.items() if len(inner) > 1), 2):
        common = below[first] & below[second]
        if len(common) > 1 and 2 * len(common) >= min(len(below[first]), len(below[second])):
            return f"{quote(first)} and {quote(second)} both hold {_listed(sorted(common))}"
    return None


def _listed(names: list[str]) -> str:
    return ", ".join(first_few(map(quote, names), 4))


SPEC = SourceSpec(
    name="folder",
    summary="Class folders of images; train/, validation/ and test/ may be above them, or file names say the split.",
    parameters={
        "path": path("The folder that holds the class folders or the splits."),
        "splits": ARE_SPLITS,
        "split_pattern": SPLIT_PATTERN,
    },
    required=("path",),
    shorthand="path",
    read=_read,
    classes=_classes,
    splits=_has_splits,
)
