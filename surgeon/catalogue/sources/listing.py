"""What a source gives: labelled images, and how it is described."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from surgeon.catalogue.entry import Entry, Parameters
from surgeon.errors import SurgeonError
from surgeon.formats import read_image
from surgeon.text import first_few

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_NAMED = 4  # of what is left out, in a message


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image as its source names it.

    Attributes:
        name: Its path relative to the source's root, with ``/`` between the parts.
        label: The name of its class.
        split: ``train``, ``validation`` or ``test`` if the source says so, else None.
        path: The file that holds it, or None if ``data`` does.
        data: The encoded image itself, for a source without files, or what reads it and may raise a BadImageError.
    """

    name: str
    label: str
    split: str | None
    path: Path | None = None
    data: bytes | Callable[[], bytes] | None = None

    def read(self) -> bytes:
        """Returns the encoded image.

        Raises:
            BadImageError: If its file cannot be read, or is too large.
        """
        if self.path is not None:
            return read_image(self.path)
        return self.data() if callable(self.data) else self.data or b""


@dataclass(frozen=True)
class Listing:
    """All images of a source.

    Attributes:
        images: Sorted by name.
        classes: Names of the classes; a class's number is its position.
        ignored: How many hidden files, files of systems and tools (a folder of them counts once) and non-images
            were passed over.
        left_out: The names of photographs that are not among the images, and of class folders without any, by reason.
    """

    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    ignored: int
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    """A file on the internet, with its place in a mirror.

    Attributes:
        hash: ``sha256:`` or ``md5:`` and the hexadecimal digest.
        mirror: Where a mirror holds it, relative to the mirror's root; for an archive, its contents' folder.
        archive: Whether it is a tar file that has to be unpacked.
    """

    url: str
    hash: str
    mirror: str
    archive: bool


@dataclass(frozen=True, kw_only=True)
class SourceSpec(Entry):
    """A kind of source.

    Attributes:
        read: Lists the images, given the parameters and the local paths of ``downloads`` in their order.
        classes: The class names, sorted, told without reading images; None if that is not possible, which a source
            with downloads may not say.
        splits: Whether the source may say itself which image is in which split; never raises.
        downloads: What has to be fetched before ``read``.
        column: The cells of a column, for the images of ``read`` in their order; None for a source without columns.
            Raises a SurgeonError if there is no such column.
    """

    read: Callable[[Parameters, tuple[Path, ...]], Listing]
    classes: Callable[[Parameters], tuple[str, ...] | None] = lambda parameters: None
    splits: Callable[[Parameters], bool] = lambda parameters: False
    downloads: Callable[[Parameters], tuple[Download, ...]] = lambda parameters: ()
    column: Callable[[Parameters, str], Sequence[str]] | None = None


def complete_listing(
    images: Iterable[LabelledImage], ignored: int = 0, left_out: Mapping[str, Sequence[str]] | None = None
) -> Listing:
    """Returns the images sorted by name.

    Raises:
        SurgeonError: If there are two of one name.
    """
    images = tuple(images)
    _check_names(images)
    ordered = tuple(sorted(images, key=lambda image: image.name))
    named = {reason: tuple(sorted(names)) for reason, names in (left_out or {}).items()}
    return Listing(ordered, tuple(sorted({image.label for image in ordered})), ignored, named)


def classes_or_none(read: Callable[[], tuple[str, ...]]) -> tuple[str, ...] | None:
    """Returns the classes of a source, or None if it cannot be read: what is wrong is said when its images are."""
    try:
        return read() or None
    except SurgeonError:
        return None


def left_out_lines(left_out: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Returns a line for each reason why photographs are left out, with their number and some of their names."""
    named = {reason: ", ".join(first_few(names, _NAMED)) for reason, names in left_out.items()}
    return tuple(f"left out, {reason}: {names}" for reason, names in named.items())


def require_classes(listing: Listing, parameters: Parameters) -> None:
    """Makes sure that there is something to tell apart.

    Raises:
        SurgeonError: If a source has no images, or all of them are of one class.
    """
    if len(listing.classes) > 1:
        return
    where = parameters.get("path", "the source")
    if not listing.classes:
        raise SurgeonError(f"{where} has no images", "expected images of two or more classes")
    (label,) = listing.classes
    message = f"{where} has only one class, {label!r} ({len(listing.images)}); expected two or more"
    if "path" not in parameters:
        raise SurgeonError(message)
    if "pattern" in parameters:
        raise SurgeonError(message, "change the pattern, whose first group has to match the class")
    below = {folder for image in listing.images for folder in _folders_below(image)}
    if len(below) > 1:
        folders = ", ".join(first_few(sorted(below), 5))
        raise SurgeonError(message, f"if the folders in it are the classes ({folders}), give {Path(where) / label}")
    raise SurgeonError(message, "put the images of each class into a folder of its own")


def _folders_below(image: LabelledImage) -> tuple[str, ...]:
    """Returns the folder in an image's class folder that the image is in, if it is in any."""
    _, _, below = f"/{image.name}".partition(f"/{image.label}/")
    folder, _, file = below.partition("/")
    return (folder,) if file else ()


def unreadable(path: Path, error: OSError) -> SurgeonError:
    """Returns what to say of a path that the system does not let us read."""
    return SurgeonError(f"cannot read {error.filename or path}: {error.strerror}", "check the path and its permissions")


def readable_name(name: str) -> str:
    r"""Returns a file name as text that can be written and that sorts alike on every machine.

    A byte that is not UTF-8 is written as ``\xe9``, so that names that differ in it differ.
    """
    readable = os.fsencode(name).decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", readable)


def _check_names(images: Iterable[LabelledImage]) -> None:
    """Makes sure that no two files have one name, which two spellings of a character would give them."""
    paths: dict[str, Path | None] = {}
    for image in images:
        if image.path is None and image.name in paths:
            raise SurgeonError(f"two images are called {image.name!r}", "rename one of them")
        if paths.setdefault(image.name, image.path) != image.path:
            both = " and ".join(ascii(str(path)) for path in (paths[image.name], image.path))
            raise SurgeonError(f"two images are called {image.name!r}: {both}", "rename one of them")
