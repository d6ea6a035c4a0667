"""A ZIP archive of class folders, whose images are read where they are."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path, PurePosixPath

from surgeon.catalogue.entry import Parameters, path
from surgeon.catalogue.sources.listing import Listing, SourceSpec, classes_or_none, unreadable
from surgeon.catalogue.sources.patterned import SPLIT_PATTERN
from surgeon.catalogue.sources.split_names import ARE_SPLITS
from surgeon.catalogue.sources.tree import Content, has_splits, list_tree
from surgeon.errors import BadImageError, SurgeonError
from surgeon.formats import HEAD, MAX_IMAGE_BYTES, format_of, too_large


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    file = Path(parameters["path"])
    archive = _open(file)
    # Older tools of Windows write the other slash.
    paths_of = [(member, PurePosixPath(member.filename.replace("\\", "/"))) for member in archive.infolist()]
    files = [
        (inner, partial(_content, archive, member))
        for member, inner in paths_of
        if not (member.is_dir() or member.filename.endswith("\\"))
    ]
    listing = list_tree(file, files, parameters, _begins_as_an_image)
    if not listing.images:
        raise SurgeonError(f"no labelled images in {file}", "it has to contain class folders of images; see `unzip -l`")
    return listing


def _open(file: Path) -> zipfile.ZipFile:
    if file.is_dir():
        raise SurgeonError(f"{file} is a folder, not a ZIP archive", f"write data.source: {{folder: {file}}}")
    try:
        return zipfile.ZipFile(file)
    except OSError as error:
        raise unreadable(file, error) from error
    except Exception as error:  # it raises whatever the damage happens to hit
        raise SurgeonError(
            f"{file} is not a ZIP archive, or is damaged: {error}", "download or pack it again"
        ) from error


def _begins_as_an_image(content: Content) -> bool:
    try:
        return format_of(content(HEAD)) is not None
    except BadImageError:
        return False


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int | None = None) -> bytes:
    """Returns an image of an archive, or its first bytes.

    Raises:
        BadImageError: If it is damaged, encrypted, packed unusually, or larger than it may be, whatever the archive
            says of its size.
    """
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # A few bytes of the others unpack to hundreds of megabytes at once, however few are asked for.
        raise BadImageError("compressed with a method other than deflate; create the archive again")
    try:
        with archive.open(member) as file:
            content = file.read(most or MAX_IMAGE_BYTES + 1)
    except Exception as error:  # as above; a RuntimeError if it is encrypted
        raise BadImageError(f"cannot be unpacked: {error}") from error
    if len(content) > MAX_IMAGE_BYTES:
        raise too_large(f"more than {MAX_IMAGE_BYTES:,} bytes")
    return content


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
    classes=lambda parameters: classes_or_none(lambda: _read(parameters, ()).classes),
    splits=lambda parameters: has_splits(lambda: _read(parameters, ())),
)
