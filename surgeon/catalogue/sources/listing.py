"""What a source gives: labelled images, and how it is described."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from surgeon.catalogue.entry import Entry, Parameters
from surgeon.errors import SurgeonError
from surgeon.formats import read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@dataclass(frozen=True)
class LabelledImage:
    """One image as its source names it.

    Attributes:
        name: Its path relative to the source's root, with ``/`` between the parts.
        label: The name of its class.
        split: ``train``, ``validation`` or ``test`` if the source says so, else None.
        path: The file that holds it, or None if ``data`` does.
        data: The encoded image itself, for a source without files.
    """

    name: str
    label: str
    split: str | None
    path: Path | None = None
    data: bytes | None = None

    def read(self) -> bytes:
        """Returns the encoded image.

        Raises:
            BadImageError: If its file cannot be read, or is too large.
        """
        return self.data or b"" if self.path is None else read_image(self.path)


@dataclass(frozen=True)
class Listing:
    """All images of a source.

    Attributes:
        images: Sorted by name.
        classes: Names of the classes; a class's number is its position.
        ignored: How many hidden files (a hidden folder counts once) and non-images were passed over.
    """

    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    ignored: int


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
        classes: The class names, sorted, told without reading images; None if the source cannot be read.
        splits: Whether the source may say itself which image is in which split; never raises.
        downloads: What has to be fetched before ``read``.
    """

    read: Callable[[Parameters, tuple[Path, ...]], Listing]
    classes: Callable[[Parameters], tuple[str, ...] | None]
    splits: Callable[[Parameters], bool]
    downloads: Callable[[Parameters], tuple[Download, ...]] = lambda parameters: ()


def complete_listing(images: list[LabelledImage], ignored: int, where: Path, hint: str) -> Listing:
    """Returns the images sorted by name.

    Raises:
        SurgeonError: If there are none, or only one class of them, or two of one name.
    """
    _check_names(images)
    counts = Counter(image.label for image in images)
    if not images:
        raise SurgeonError(f"no labelled images in {where}; other files: {ignored}", hint)
    if len(counts) == 1:
        label, count = counts.popitem()
        raise SurgeonError(f"{where} has only one class, {label!r} ({count}); expected two or more", hint)
    return Listing(tuple(sorted(images, key=lambda image: image.name)), tuple(sorted(counts)), ignored)


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
        if paths.setdefault(image.name, image.path) != image.path:
            both = " and ".join(ascii(str(path)) for path in (paths[image.name], image.path))
            raise SurgeonError(f"two images are called {image.name!r}: {both}", "rename one of them")
