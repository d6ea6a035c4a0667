"""A ZIP archive of class folders, whose images are read where they are."""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path, PurePosixPath

from surgeon.catalogue.entry import Parameters, path
from surgeon.catalogue.sources.folder import ARE_SPLITS, class_depth
from surgeon.catalogue.sources.listing import (
    LabelledImage,
    Listing,
    SourceSpec,
    complete_listing,
    readable_name,
    unreadable,
)
from surgeon.catalogue.sources.patterned import SPLIT_PATTERN, with_splits
from surgeon.catalogue.sources.split_names import split_called
from surgeon.catalogue.sources.walk import IMAGE_SUFFIXES, STRAY, UNREAD, is_passed_over
from surgeon.errors import BadImageError, SurgeonError
from surgeon.formats import MAX_IMAGE_BYTES, OTHER_SUFFIXES, too_large


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    file = Path(parameters["path"])
    archive = _open(file)
    photographs: list[tuple[str, zipfile.ZipInfo]] = []
    left_out: dict[str, list[str]] = {}
    ignored = 0
    for member in archive.infolist():
        inner = PurePosixPath(member.filename)
        suffix = "" if any(map(is_passed_over, inner.parts)) else inner.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            photographs.append((str(inner), member))
        elif suffix in OTHER_SUFFIXES:
            left_out.setdefault(UNREAD, []).append(readable_name(str(inner)))
        elif not member.is_dir():
            ignored += 1
    top = _common_folders([name for name, _ in photographs])
    depth = _depth(file, [PurePosixPath(name).parts[top:-1] for name, _ in photographs], parameters)
    images = []
    for name, member in photographs:
        *folders, _ = PurePosixPath(name).parts[top:]
        if len(folders) > depth:
            split = split_called(folders[0]) if depth else None
            content = partial(_content, archive, member)
            images.append(LabelledImage(readable_name(name), readable_name(folders[depth]), split, data=content))
        else:
            left_out.setdefault(STRAY, []).append(readable_name(name))
    if not images:
        raise SurgeonError(
            f"no labelled images in {file}", "it has to hold class folders of images: `unzip -l` shows what it holds"
        )
    return with_splits(complete_listing(images, ignored, left_out), parameters.get("split_pattern"))


def _open(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except OSError as error:
        raise unreadable(file, error) from error
    except (zipfile.BadZipFile, ValueError) as error:
        raise SurgeonError(
            f"{file} is not a ZIP archive, or is damaged: {error}", "download or pack it again"
        ) from error


def _common_folders(names: list[str]) -> int:
    """Returns how many folders all images share, above those of classes or splits: archives often hold one folder."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    shared = 0
    while all(len(parts) > shared + 1 for parts in folders) and len({parts[shared] for parts in folders}) == 1:
        shared += 1
    return shared


def _depth(file: Path, folders: list[tuple[str, ...]], parameters: Parameters) -> int:
    """Returns how deep the class folders are: 0, or 1 where the folders above them are splits."""
    below: dict[str, set[str]] = {}
    bare = {parts[0] for parts in folders if len(parts) == 1}  # with images of their own
    for first, *inner in filter(None, folders):
        below.setdefault(first, set()).update(inner[:1] if first not in bare else ())
    return class_depth(file, {name: frozenset(inner) for name, inner in below.items()}, parameters)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Returns an image of an archive.

    Raises:
        BadImageError: If it is damaged, encrypted, or larger than it may be, whatever the archive says of its size.
    """
    try:
        with archive.open(member) as file:
            content = file.read(MAX_IMAGE_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise BadImageError(f"damaged in the archive: {error}") from error
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or packed in a way that Python does not know
        raise BadImageError(f"cannot be unpacked: {error}") from error
    if len(content) > MAX_IMAGE_BYTES:
        raise too_large(f"more than {MAX_IMAGE_BYTES:,} bytes")
    return content


def _classes(parameters: Parameters) -> tuple[str, ...] | None:
    try:
        return _read(parameters, ()).classes
    except SurgeonError:
        return None  # what is wrong is said when the images are read


def _has_splits(parameters: Parameters) -> bool:
    try:
        return any(image.split for image in _read(parameters, ()).images)
    except SurgeonError:
        return False


SPEC = SourceSpec(
    name="zip",
    summary="A ZIP archive of class folders, which is not unpacked; train/, validation/ and test/ may be above them.",
    parameters={
        "path": path("The archive."),
        "splits": ARE_SPLITS,
        "split_pattern": SPLIT_PATTERN,
    },
    required=("path",),
    shorthand="path",
    read=_read,
    classes=_classes,
    splits=_has_splits,
)
