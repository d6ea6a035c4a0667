"""From a plan to images that are listed, split and decoded."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import PIL
import PIL.features

import surgeon
from surgeon.catalogue.entry import find
from surgeon.catalogue.sources import SOURCES
from surgeon.catalogue.sources.listing import LabelledImage, Listing, require_classes
from surgeon.catalogue.sources.split_names import SPLITS
from surgeon.catalogue.sources.walk import UNOPENED
from surgeon.data.fetch import fetch
from surgeon.data.groups import group_images, group_keys
from surgeon.data.images import load_image
from surgeon.data.splits import split_images
from surgeon.data.threads import in_threads
from surgeon.errors import BadImageError, SurgeonError
from surgeon.recipe.classes import relabelled
from surgeon.resizing import Resizing
from surgeon.results.events import Note, Progress
from surgeon.results.forecast import Place
from surgeon.store.cache import cache_root, filling, make_room, shelf_in_use
from surgeon.store.digests import keep_digests, known_digests, stamp_of
from surgeon.store.errors import StoreError
from surgeon.store.places import choose_place, place_without_disk
from surgeon.store.shelf import LAYOUT, Shelf, TensorSpec
from surgeon.text import first_few

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import ExitStack

    from numpy.typing import NDArray

    from surgeon.recipe.data_plan import DataPlan

NAMED_BAD_IMAGES = 20

_DECODERS = ("jpg", "zlib", "webp", "libtiff", "avif", "littlecms2")
_DECODE_SECONDS = 0.003  # an image takes about this long

Pixels = Callable[["Sequence[int] | NDArray[np.intp]"], "NDArray[np.uint8]"]


@dataclass(frozen=True)
class Index:
    """The images of a source, not yet decoded.

    Attributes:
        images: All images, sorted by name.
        classes: Names of the classes; a class's number is its position.
        digests: SHA-256 of each image's bytes, in hexadecimal.
        groups: The name of each image's group, whose images a split keeps together.
        splits: ``train``, ``validation`` or ``test`` for each image.
        ignored: How many hidden files and non-images were passed over.
        left_out: The names of photographs that are not among the images, by reason.
        uncompared: How many different images were not compared with the others, although near copies are to be kept
            together.
    """

    images: tuple[LabelledImage, ...] = field(repr=False)  # thousands, which would fill a notebook
    classes: tuple[str, ...]
    digests: tuple[str, ...] = field(repr=False)
    groups: tuple[str, ...] = field(repr=False)
    splits: tuple[str, ...] = field(repr=False)
    ignored: int
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uncompared: int = 0

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Returns how many images of each class are in each split that has any."""
        counts = Counter(zip(self.splits, (image.label for image in self.images), strict=True))
        return {
            split: {label: counts[split, label] for label in self.classes} for split in SPLITS if split in self.splits
        }

    def only(self, *splits: str) -> Index:
        """Returns the index without the images of other splits."""
        kept = [at for at, split in enumerate(self.splits) if split in splits]
        return replace(
            self,
            images=tuple(self.images[at] for at in kept),
            digests=tuple(self.digests[at] for at in kept),
            groups=tuple(self.groups[at] for at in kept),
            splits=tuple(self.splits[at] for at in kept),
        )


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be decoded, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images that can be decoded; ``names``, ``labels``, ``digests``, ``groups`` and ``splits`` are aligned.

    Attributes:
        names: Paths relative to the source's root.
        labels: Class numbers, int32 of shape (n,).
        digests: SHA-256 of each image's bytes, in hexadecimal.
        groups: The name of each image's group, whose images a split keeps together.
        splits: ``train``, ``validation`` or ``test`` for each image.
        classes: Names of the classes.
        bad: The images that were left out because they cannot be decoded.
        pixels: Gives the images at some positions, RGB from 0 to 255, uint8 of shape (n, height, width, 3).
    """

    names: tuple[str, ...]
    labels: NDArray[np.int32]
    digests: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    bad: tuple[BadImage, ...]
    pixels: Pixels

    def part(self, split: str) -> NDArray[np.intp]:
        """Returns the positions of a split's images, ascending."""
        return np.flatnonzero([name == split for name in self.splits])


def index_images(plan: DataPlan, *, looks: bool = True) -> Generator[Progress, None, Index]:
    """Lists, hashes, groups and splits the images of a source, which is fetched first if need be.

    Args:
        plan: Where they come from, and how they are split.
        looks: Whether images are decoded to find near copies, if the plan keeps these together; without, only those are
            found that were looked at before.

    Raises:
        SurgeonError: If the source cannot be had or read, has only one class, has not what the plan groups by, or a
            class is too small to split.
    """
    of_source = yield from _list_source(plan)
    require_classes(of_source, plan.source.parameters)
    listing, kept = relabelled(plan.classes, of_source)
    keys = group_keys(plan, of_source)  # folders are called like the classes of the source
    digests = yield from _digests(listing.images)
    labels = [image.label for image in listing.images]
    source_splits = [image.split for image in listing.images]
    shared = [keys[at] for at in kept]
    groups, uncompared = yield from group_images(plan, listing, shared, digests, looks=looks)
    splits = split_images(labels, digests, groups, source_splits, plan.split, plan.tested)
    return Index(
        listing.images, listing.classes, digests, groups, splits, listing.ignored, listing.left_out, uncompared
    )


def list_images(plan: DataPlan) -> Generator[Progress, None, Listing]:
    """Lists the images of a plan's classes; their source is fetched first if need be.

    Raises:
        SurgeonError: If the source cannot be had or read.
    """
    return relabelled(plan.classes, (yield from _list_source(plan)))[0]


def _list_source(plan: DataPlan) -> Generator[Progress, None, Listing]:
    source = find("source", SOURCES, plan.source.name)
    paths = []
    for download in source.downloads(plan.source.parameters):
        paths.append((yield from fetch(download)))
    yield Progress("list images", 0, None, "images")
    return source.read(plan.source.parameters, tuple(paths))


def decode_images(
    index: Index, plan: DataPlan, keep: str, resources: ExitStack
) -> Generator[Progress | Note, None, Dataset]:
    """Decodes every image that is not kept decoded already, and keeps it.

    Args:
        index: The images.
        plan: How they are read.
        keep: ``auto``, ``memory``, ``disk`` or ``off``, the recipe's ``features``.
        resources: Until it is closed the decoded images stay in the cache.

    Raises:
        SurgeonError: If images cannot be decoded and the plan does not skip them, or if fewer than two classes
            are left to train on.
        StoreError: If ``keep`` is ``disk`` and that is not possible.
    """
    pixels, bad = yield from _keep_pixels(index, plan, keep, resources)
    unopened = [BadImage(name, "cannot be opened") for name in index.left_out.get(UNOPENED, ())]
    if (bad or unopened) and plan.on_bad_image == "fail":
        raise _bad_images([*bad.values(), *unopened], len(index.images) + len(unopened))
    good = np.array([position for position in range(len(index.images)) if position not in bad], np.intp)
    splits = tuple(index.splits[position] for position in good)
    trained = {index.images[at].label for at, split in zip(good, splits, strict=True) if split == "train"}
    if len(trained) < 2:
        raise SurgeonError(
            f"only {len(trained)} of {len(index.classes)} classes have training images left; expected two or more",
            "add training images, or repair those that were skipped",
        )
    numbers = {label: number for number, label in enumerate(index.classes)}
    return Dataset(
        names=tuple(index.images[position].name for position in good),
        labels=np.array([numbers[index.images[position].label] for position in good], np.int32),
        digests=tuple(index.digests[position] for position in good),
        groups=tuple(index.groups[position] for position in good),
        splits=splits,
        classes=index.classes,
        bad=tuple(bad.values()),
        pixels=lambda positions: pixels(good[positions]),
    )


def _keep_pixels(
    index: Index, plan: DataPlan, keep: str, resources: ExitStack
) -> Generator[Progress | Note, None, tuple[Pixels, dict[int, BadImage]]]:
    """Returns what gives the pixels of images by their position in ``index``, and those that have none."""
    count = len(set(index.digests))
    resizing = plan.resizing
    needed = count * TensorSpec((*resizing.size, 3), "uint8").size
    # Without kept features the decoded images are kept nonetheless; nobody gains by decoding them again.
    place = choose_place("auto" if keep == "off" else keep, needed, count * _DECODE_SECONDS)
    try:
        return (yield from _keep_pixels_in(place, index, resizing, resources))
    except StoreError as error:
        if keep == "disk":
            raise
        place = place_without_disk(needed, error.message)
    yield Note(f"decoded images are kept {place.reason}")
    return (yield from _keep_pixels_in(place, index, resizing, resources))


def _keep_pixels_in(
    place: Place, index: Index, resizing: Resizing, resources: ExitStack
) -> Generator[Progress, None, tuple[Pixels, dict[int, BadImage]]]:
    numbers: dict[str, int] = {}  # copies of an image have one
    number_of = np.array([numbers.setdefault(digest, len(numbers)) for digest in index.digests], np.intp)
    first = np.unique(number_of, return_index=True)[1]
    if place.kind == "nowhere":
        _, bad = yield from _decode_missing(index, resizing, first, None)
        return lambda positions: _decode_now(index, resizing, positions), bad
    folders = [cache_root() / pixels_key(resizing)] if place.kind == "disk" else []
    for folder in folders:
        about = {"network": "decoded images", "layers": [], "image_size": resizing.size}
        resources.enter_context(shelf_in_use(folder, about))
    with filling(folders):
        specs = [TensorSpec((*resizing.size, 3), "uint8")]
        shelf = resources.enter_context(closing(Shelf(specs, len(numbers), *folders)))
        rows = yield from shelf.find([bytes.fromhex(digest) for digest in numbers], "verify decoded images")
        missing = np.flatnonzero(rows < 0)
        if folders:
            make_room(cache_root(), len(missing) * shelf.row_size)
        rows[missing], bad = yield from _decode_missing(index, resizing, first[missing], shelf)
    row_of = rows[number_of]
    return lambda positions: shelf.gather(row_of[positions])[0], bad


def _decode_now(index: Index, resizing: Resizing, positions: Sequence[int] | NDArray[np.intp]) -> NDArray[np.uint8]:
    images = [index.images[at] for at in positions]
    return np.stack(
        [pixels for batch in in_threads(lambda image: load_image(image.read(), resizing), images) for pixels in batch]
    )


def _decode_missing(
    index: Index, resizing: Resizing, todo: NDArray[np.intp], shelf: Shelf | None
) -> Generator[Progress, None, tuple[NDArray[np.intp], dict[int, BadImage]]]:
    """Decodes the images at the positions ``todo`` and puts them on a shelf, if there is one.

    Returns:
        The row of each of them, -1 where there is none, and all images that cannot be decoded, by position.
    """
    rows, bad, done = np.full(len(todo), -1), dict[str, str](), 0
    for batch in in_threads(lambda image: _decode(image, resizing), [index.images[at] for at in todo]):
        digests = [index.digests[at] for at in todo[done : done + len(batch)]]
        decoded = {}
        for at, (digest, outcome) in enumerate(zip(digests, batch, strict=True), start=done):
            if isinstance(outcome, BadImage):
                bad[digest] = outcome.reason
            else:
                decoded[at] = outcome
        if decoded and shelf is not None:
            keys = [bytes.fromhex(digests[at - done]) for at in decoded]
            rows[list(decoded)] = shelf.add(keys, [np.stack(list(decoded.values()))])
        done += len(batch)
        yield Progress("decode images", done, len(todo), "images")
    if shelf is not None:
        shelf.settle()
    return rows, {
        at: BadImage(image.name, bad[digest])
        for at, (image, digest) in enumerate(zip(index.images, index.digests, strict=True))
        if digest in bad
    }


def pixels_key(resizing: Resizing) -> str:
    """Returns the digest of all that decoded pixels depend on but the image's bytes."""
    decoders = [PIL.features.version(name) for name in _DECODERS]
    depends_on = [surgeon.__version__, astuple(resizing), PIL.__version__, *decoders]
    described = ["decoded images, width first, in sRGB", LAYOUT, depends_on]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _decode(image: LabelledImage, resizing: Resizing) -> NDArray[np.uint8] | BadImage:
    try:
        return load_image(image.read(), resizing)
    except BadImageError as error:
        return BadImage(image.name, error.reason)


def _digests(images: Sequence[LabelledImage]) -> Generator[Progress, None, tuple[str, ...]]:
    """Returns the digest of each image; files that have not changed since they were read last are not read again."""
    paths = [b"" if image.path is None else os.fsencode(image.path.absolute()) for image in images]
    stamps = {path: stamp for path in paths if path and (stamp := stamp_of(path)) is not None}
    kept = known_digests(stamps)
    known = [kept.get(path) for path in paths]
    missing = [at for at, digest in enumerate(known) if digest is None]
    read: list[str | None] = []
    for batch in in_threads(_digest, [images[at] for at in missing]):
        read += batch
        yield Progress("read images", len(read), len(missing), "images")
    fresh = dict(zip(missing, read, strict=True))
    keep_digests(
        (paths[at], stamps[paths[at]], digest) for at, digest in fresh.items() if digest and paths[at] in stamps
    )
    found = [digest or fresh[at] for at, digest in enumerate(known)]
    return tuple(digest or _digest_of_name(image) for digest, image in zip(found, images, strict=True))


def _digest(image: LabelledImage) -> str | None:
    try:
        return hashlib.sha256(image.read()).hexdigest()
    except BadImageError:  # said where it is decoded
        return None


def _digest_of_name(image: LabelledImage) -> str:
    """Returns what stands for the digest of an image that cannot be read: until that is said it is like no other."""
    return hashlib.sha256(f"unreadable: {image.name}".encode("utf-8", "surrogatepass")).hexdigest()


def _bad_images(bad: Sequence[BadImage], total: int) -> SurgeonError:
    lines = [f"{len(bad)} of {total} images cannot be decoded:"]
    lines += [f"  {line}" for line in first_few((f"{image.name}: {image.reason}" for image in bad), NAMED_BAD_IMAGES)]
    return SurgeonError("\n".join(lines), "fix them as described, or skip them: data.on_bad_image: skip")
