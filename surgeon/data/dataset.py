"""From a plan to images that are listed, split and decoded."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from surgeon.catalogue.entry import find
from surgeon.catalogue.sources import SOURCES, SPLITS, LabelledImage
from surgeon.data.fetch import fetch
from surgeon.data.images import BadImageError, load_image
from surgeon.data.splits import split_images
from surgeon.errors import SurgeonError
from surgeon.results import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from surgeon.recipe.plan import DataPlan

BATCH = 64  # images that are in memory at once
NAMED_BAD_IMAGES = 20

Result = TypeVar("Result")


@dataclass(frozen=True)
class Index:
    """The images of a source, not yet decoded.

    Attributes:
        images: All images, sorted by name.
        classes: Names of the classes; a class's number is its position.
        digests: SHA-256 of each image's bytes, in hexadecimal.
        splits: ``train``, ``validation`` or ``test`` for each image.
        ignored: How many hidden files and non-images were passed over.
    """

    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    digests: tuple[str, ...]
    splits: tuple[str, ...]
    ignored: int

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Returns how many images of each class are in each split that has any."""
        counts = Counter(zip(self.splits, (image.label for image in self.images), strict=True))
        return {
            split: {label: counts[split, label] for label in self.classes} for split in SPLITS if split in self.splits
        }


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be decoded, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Decoded images; ``names``, ``labels``, ``digests``, ``splits`` and ``pixels`` are aligned.

    Attributes:
        names: Paths relative to the source's root.
        labels: Class numbers, int32 of shape (n,).
        digests: SHA-256 of each image's bytes, in hexadecimal.
        splits: ``train``, ``validation`` or ``test`` for each image.
        classes: Names of the classes.
        ignored: How many hidden files and non-images were passed over.
        bad: The images that were left out because they cannot be decoded.
        pixels: RGB from 0 to 255, uint8 of shape (n, height, width, 3), read from disk as it is used.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int32]
    digests: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    ignored: int
    bad: tuple[BadImage, ...]
    pixels: NDArray[np.uint8]

    def part(self, split: str) -> NDArray[np.intp]:
        """Returns the positions of a split's images, ascending."""
        return np.flatnonzero([own == split for own in self.splits])


def index_images(plan: DataPlan) -> Generator[Progress, None, Index]:
    """Lists, hashes and splits the images of a source, which is fetched first if need be.

    Raises:
        SurgeonError: If the source cannot be had or read, or a class is too small to split.
    """
    source = find("source", SOURCES, plan.source.name)
    paths = []
    for download in source.downloads(plan.source.parameters):
        paths.append((yield from fetch(download)))
    yield Progress("list images", 0, None, "images")
    listing = source.read(plan.source.parameters, tuple(paths))
    digests: list[str] = []
    for batch in _in_threads(_digest, listing.images):
        digests += batch
        yield Progress("read images", len(digests), len(listing.images), "images")
    labels = [image.label for image in listing.images]
    own = [image.split for image in listing.images]
    splits = split_images(labels, digests, own, plan.split)
    return Index(listing.images, listing.classes, tuple(digests), splits, listing.ignored)


def decode_images(index: Index, plan: DataPlan, folder: Path) -> Generator[Progress, None, Dataset]:
    """Decodes every image once, into ``pixels.npy`` under ``folder``.

    Raises:
        SurgeonError: If images cannot be decoded and the plan does not skip them, if fewer than two classes
            are left to train on, or if the disk is full.
    """
    file = folder / "pixels.npy"
    decoded, bad = yield from _write_pixels(index.images, plan.image_size, file)
    if bad and plan.on_bad_image == "fail":
        file.unlink()
        raise _bad_images(bad, len(index.images))
    images = [index.images[position] for position in decoded]
    splits = tuple(index.splits[position] for position in decoded)
    trained = {image.label for image, split in zip(images, splits, strict=True) if split == "train"}
    if len(trained) < 2:
        raise SurgeonError(
            f"images to train on are left in only {len(trained)} of {len(index.classes)} classes; expected two or more",
            "add training images, or repair those that were skipped",
        )
    numbers = {label: number for number, label in enumerate(index.classes)}
    return Dataset(
        names=tuple(image.name for image in images),
        labels=np.array([numbers[image.label] for image in images], np.int32),
        digests=tuple(index.digests[position] for position in decoded),
        splits=splits,
        classes=index.classes,
        ignored=index.ignored,
        bad=bad,
        pixels=np.load(file, mmap_mode="r"),
    )


def _write_pixels(
    images: Sequence[LabelledImage], size: tuple[int, int], file: Path
) -> Generator[Progress, None, tuple[list[int], tuple[BadImage, ...]]]:
    """Decodes into a file; returns the positions of the images in it, and the bad ones.

    It is written front to back: on a full disk that is an error, where a write through a memory map would be
    the end of the process.
    """
    partial = file.with_name(f"{file.name}.partial")
    decoded: list[int] = []
    bad: list[BadImage] = []
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as opened:
            _write_header(opened, (len(images), *size, 3))
            for batch in _in_threads(lambda image: _decode(image, size), images):
                for outcome in batch:
                    if isinstance(outcome, BadImage):
                        bad.append(outcome)
                    else:
                        decoded.append(len(decoded) + len(bad))
                        opened.write(outcome.tobytes())
                yield Progress("decode images", len(decoded) + len(bad), len(images), "images")
            opened.seek(0)
            _write_header(opened, (len(decoded), *size, 3))
        partial.replace(file)
    except OSError as error:
        megabytes = len(images) * size[0] * size[1] * 3 / 1e6
        raise SurgeonError(
            f"cannot write the decoded images to {partial}: {error.strerror or error}",
            f"they take {megabytes:.0f} MB; free some disk space or lower data.image_size",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return decoded, tuple(bad)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Writes the head of a ``.npy`` file, whose length does not depend on the first number of ``shape``."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _decode(image: LabelledImage, size: tuple[int, int]) -> NDArray[np.uint8] | BadImage:
    try:
        return load_image(image.read(), size)
    except BadImageError as error:
        return BadImage(image.name, error.reason)


def _digest(image: LabelledImage) -> str:
    return hashlib.sha256(image.read()).hexdigest()


def _bad_images(bad: Sequence[BadImage], total: int) -> SurgeonError:
    lines = [f"{len(bad)} of {total} images cannot be decoded:"]
    lines += [f"  {image.name}: {image.reason}" for image in bad[:NAMED_BAD_IMAGES]]
    if len(bad) > NAMED_BAD_IMAGES:
        lines.append(f"  and {len(bad) - NAMED_BAD_IMAGES} more")
    return SurgeonError("\n".join(lines), "repair or remove them, or leave them out: data.on_bad_image: skip")


def _in_threads(function: Callable[[LabelledImage], Result], images: Sequence[LabelledImage]) -> Iterator[list[Result]]:
    """Yields the results in order, a batch at a time, so that only one batch of them is in memory."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(images), BATCH):
            yield list(pool.map(function, images[start : start + BATCH]))
