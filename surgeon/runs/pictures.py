"""The images that a run keeps, so that it can be shown and exported when its photographs are gone: ``pictures.zip``."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from surgeon.catalogue.sources.listing import LabelledImage
from surgeon.files import check_stored, open_regular
from surgeon.records import check_version, damage_told, record_of

PICTURES = "pictures.zip"
_VERSION = 1
_INDEX = "index.json"
_NAMES = (".jpg", ".png", "-explained.jpg")  # of an image's files, after its number
_MOST_BYTES = 4 << 30
_SAMPLES, _SAMPLE_BYTES = 24, 100_000
_REMEDY = "restore it from a copy, or remove it: the images are then read from the source"


@dataclass(frozen=True)
class _Entry:
    """An image as the index lists it; the file of its thumbnail and of its pixels have its number."""

    name: str
    label: str
    split: str
    size: tuple[int, int]
    thumbnail: bool
    pixels: bool
    explained_by: str = ""


@dataclass(frozen=True)
class _Index:
    images: tuple[_Entry, ...]


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of a run.

    Attributes:
        name: As its source named it.
        label: Its class.
        split: ``train``, ``validation`` or ``test``.
        size: Width and height of the photograph in pixels.
        thumbnail: A small JPEG of it, if there is one.
        pixels: The PNG of what the network saw, resized and not yet preprocessed, if it is kept.
        explanation: A small JPEG with heat where the network saw what it took the image for, if there is one.
        explained_by: By which method.
    """

    name: str
    label: str
    split: str
    size: tuple[int, int]
    thumbnail: bytes | None = None
    pixels: bytes | None = None
    explanation: bytes | None = None
    explained_by: str = ""

    def labelled(self) -> LabelledImage:
        """Returns what the network saw as an image of a source."""
        return LabelledImage(self.name, self.label, self.split, data=self.pixels)


def training_samples(folder: Path) -> dict[str, bytes]:
    """Returns a small JPEG of a training image of each class, as far as a run keeps any; of some classes, if many.

    Raises:
        SurgeonError: If the file is damaged, or a newer surgeon wrote it.
    """
    samples: dict[str, bytes] = {}
    for picture in read_pictures(folder) or ():
        if picture.split == "train" and picture.thumbnail and len(picture.thumbnail) <= _SAMPLE_BYTES:
            samples.setdefault(picture.label, picture.thumbnail)
    return dict(list(samples.items())[:_SAMPLES])


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> None:
    """Writes ``pictures.zip``, as a whole or not at all."""
    path = folder / PICTURES
    partial = path.with_name(f"{PICTURES}.partial")
    entries = []
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:  # JPEG and PNG are compressed already
        for number, picture in enumerate(pictures):
            contents = (picture.thumbnail, picture.pixels, picture.explanation)
            for name, content in zip(_NAMES, contents, strict=True):
                if content is not None:
                    archive.writestr(f"{number}{name}", content)
            kept = (picture.thumbnail is not None, picture.pixels is not None, picture.explained_by)
            entries.append(_Entry(picture.name, picture.label, picture.split, picture.size, *kept))
        archive.writestr(_INDEX, json.dumps({"version": _VERSION, **asdict(_Index(tuple(entries)))}))
    partial.replace(path)


def read_pictures(folder: Path) -> tuple[Picture, ...] | None:
    """Returns the images that a run keeps; None if it keeps none, as runs of former releases do.

    Raises:
        SurgeonError: If the file is damaged, or a newer surgeon wrote it.
    """
    path = folder / PICTURES
    if not path.exists():
        return None
    with damage_told(path, _REMEDY), open_regular(path, _MOST_BYTES) as file, zipfile.ZipFile(file) as archive:
        check_stored(archive, file)
        record = json.loads(archive.read(_INDEX))
        check_version(path, record, _VERSION)
        return tuple(
            Picture(
                entry.name,
                entry.label,
                entry.split,
                entry.size,
                archive.read(f"{number}{_NAMES[0]}") if entry.thumbnail else None,
                archive.read(f"{number}{_NAMES[1]}") if entry.pixels else None,
                archive.read(f"{number}{_NAMES[2]}") if entry.explained_by else None,
                entry.explained_by,
            )
            for number, entry in enumerate(record_of(record, _Index).images)
        )
