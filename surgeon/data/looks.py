"""What a look at each image tells; kept by its content, so that an image is decoded for that once."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from surgeon.data.duplicates import THUMBNAIL, Fingerprint, near_limit, take_fingerprint
from surgeon.data.images import look_at
from surgeon.data.threads import in_threads
from surgeon.errors import BadImageError
from surgeon.results.events import Progress
from surgeon.store.digests import keep_looks, known_looks

if TYPE_CHECKING:
    from collections.abc import Generator

    from surgeon.catalogue.sources.listing import LabelledImage

LOOK_SECONDS = 0.005  # that a look at a photograph takes, on two cores
_VERSION = 1  # of what is kept; another one whenever the same file would be seen otherwise
_FORM = struct.Struct("<B8sIIB?32s192s")
_GREY_SPREAD = 8  # of 255, between the channels of a grey image that JPEG has rounded


@dataclass(frozen=True, eq=False)
class Facts:
    """What a look at a readable image told.

    Attributes:
        format: What its content is.
        size: Height and width in pixels as a viewer shows it.
        orientation: EXIF's number of how it was stored; 1 is upright.
        is_grey: Whether it has no colour.
        fingerprint: What it is compared with others by.
    """

    format: str
    size: tuple[int, int]
    orientation: int
    is_grey: bool
    fingerprint: Fingerprint


def known_facts(digests: Sequence[str]) -> dict[str, Facts]:
    """Returns what former looks told, by the digests of the images."""
    unpacked = {digest: _unpacked(kept) for digest, kept in known_looks(set(digests)).items()}
    return {digest: facts for digest, facts in unpacked.items() if facts is not None}


def look_at_images(
    images: Sequence[LabelledImage], digests: Sequence[str]
) -> Generator[Progress, None, Mapping[str, Facts | str]]:
    """Looks at each image that was not looked at before.

    Args:
        images: Any images.
        digests: Of each image's bytes.

    Returns:
        For each digest the facts, or why the image cannot be read.
    """
    facts: dict[str, Facts | str] = {**known_facts(digests)}
    image_of = {digest: image for digest, image in zip(digests, images, strict=True) if digest not in facts}
    missing, done = list(image_of), 0
    for batch in in_threads(_look, [image_of[digest] for digest in missing]):
        seen = dict(zip(missing[done : done + len(batch)], batch, strict=True))
        keep_looks((digest, _packed(found)) for digest, found in seen.items() if isinstance(found, Facts))
        facts |= seen
        done += len(batch)
        yield Progress("look at images", done, len(missing), "images")
    return facts


def _look(image: LabelledImage) -> Facts | str:
    """Returns what an image is like, or why it cannot be read."""
    try:
        look = look_at(image.read(), 2 * THUMBNAIL)  # twice, so that a reduced JPEG is as good as a whole one
    except BadImageError as error:
        return error.reason
    thumbnail = look.picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    spread = np.ptp(np.asarray(thumbnail), axis=-1).max()
    fingerprint = take_fingerprint(thumbnail, look.size)
    return Facts(look.format, look.size, look.orientation, bool(spread <= _GREY_SPREAD), fingerprint)


def _packed(facts: Facts) -> bytes:
    taken = facts.fingerprint
    name, words, colours = facts.format.encode(), taken.words.tobytes(), taken.colours.tobytes()
    return _FORM.pack(_VERSION, name, *facts.size, facts.orientation, facts.is_grey, words, colours)


def _unpacked(kept: bytes) -> Facts | None:
    """Returns kept facts; None for those of another version."""
    if len(kept) != _FORM.size or kept[0] != _VERSION:
        return None
    _, name, height, width, orientation, is_grey, words, colours = _FORM.unpack(kept)
    size = (height, width)
    taken = Fingerprint(np.frombuffer(words, np.uint64), np.frombuffer(colours, np.uint8), near_limit(size))
    return Facts(name.rstrip(b"\0").decode(), size, orientation, is_grey, taken)
