"""From the bytes of an image file to RGB pixels, the way a viewer shows them, within bounds of memory and time."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageFile, UnidentifiedImageError

from surgeon.data.bmp import open_bmp
from surgeon.data.colours import to_rgb
from surgeon.data.container import Container, damaged
from surgeon.data.heif import open_heif
from surgeon.data.jpeg import open_jpeg
from surgeon.data.orientation import find_orientation, upright
from surgeon.data.png import open_png
from surgeon.data.tiff import open_tiff
from surgeon.data.webp import open_webp
from surgeon.errors import BadImageError, LargeImageError
from surgeon.formats import MAX_MEGAPIXELS, recognize
from surgeon.resizing import INTERPOLATIONS, Resizing, Size
from surgeon.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ALIVE = MAX_MEGAPIXELS * 1e6  # pixels of all images together that are decoded at once
_MOST_SCANS = 12  # of a JPEG of the largest size; a smaller one may have more
# In Pillow's blocks of 16 MiB a freed image would stay with the thread that decoded it: the C library gives memory back
# at once only above 32 MiB.
Image.core.set_block_size(64 << 20)  # type: ignore[attr-defined]
_FILTERS = {name: Image.Resampling[name.upper()] for name in INTERPOLATIONS}
_CONTAINERS: dict[str, Callable[[bytes], Container]] = {
    "JPEG": open_jpeg,
    "PNG": open_png,
    "BMP": open_bmp,
    "WEBP": open_webp,
    "TIFF": open_tiff,
    "AVIF": open_heif,
    "HEIF": open_heif,
}


@dataclass(frozen=True, eq=False)
class Look:
    """What a look at an image tells.

    Attributes:
        format: What its content is, one of ``surgeon.formats.FORMATS``.
        size: Height and width in pixels as a viewer shows it.
        orientation: How it was stored, by EXIF's number; 1 is upright, and so is what EXIF does not speak of.
        picture: The image, upright, RGB in sRGB, its transparent parts over white; a JPEG's sides may be reduced.
    """

    format: str
    size: tuple[int, int]
    orientation: int
    picture: Image.Image


def load_image(data: bytes, resizing: Resizing, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """Decodes an image and resizes it.

    Args:
        data: A file of one of ``surgeon.formats.FORMATS``; of a moving image or of several the first counts.
        resizing: How.
        max_megapixels: How large it may be.

    Returns:
        RGB pixels in sRGB from 0 to 255, of shape (height, width, 3).

    Raises:
        BadImageError: If the file cannot be decoded wholly, or is too large; the reason says what to do.
    """
    with _decoded(data, max_megapixels) as look:
        return fit_image(look.picture, resizing)


def fit_image(image: Image.Image, resizing: Resizing) -> NDArray[np.uint8]:
    """Resizes an RGB image as ``load_image`` does."""
    picture = (image.height, image.width)
    taken, covered = resizing.taken(picture), resizing.covered(picture)
    filter_ = _FILTERS[resizing.interpolation]
    # A side at a time: releases of Pillow differ in the side that they take first, which shows in the last bit.
    columns = (taken.left, 0, taken.left + taken.width, image.height)
    across = image.resize((covered.width, image.height), filter_, columns)
    rows = (0, taken.top, covered.width, taken.top + taken.height)
    fitted = across.resize((covered.width, covered.height), filter_, rows)
    pixels = np.zeros((*resizing.size, 3), np.uint8)
    pixels[covered.top :, covered.left :][: covered.height, : covered.width] = np.asarray(fitted)
    return pixels


def undo_fit(pixels: Image.Image, resizing: Resizing, picture: Size) -> Image.Image:
    """Returns what came of a picture in the shape that it had: without borders; what was cut off stays away.

    Args:
        pixels: Of the size that the network takes.
        resizing: How they came about.
        picture: Height and width of the picture that they are of.
    """
    taken, covered = resizing.taken(picture), resizing.covered(picture)
    box = (covered.left, covered.top, covered.left + covered.width, covered.top + covered.height)
    return pixels.crop(box).resize((taken.width, taken.height), Image.Resampling.BICUBIC)


def decode_image(data: bytes, max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """Decodes an image upright, in sRGB, its transparent parts over white.

    Args:
        data: A file of one of ``surgeon.formats.FORMATS``; of a moving image or of several the first counts.
        max_megapixels: How large it may be.

    Returns:
        An image in mode ``RGB``, at its own size.

    Raises:
        BadImageError: If the file cannot be decoded wholly, or is too large; the reason says what to do.
    """
    with _decoded(data, max_megapixels) as look:
        return look.picture


def look_at(data: bytes, side: int) -> Look:
    """Decodes an image as far as a look at it needs, which for a large JPEG takes a fraction of the time.

    Args:
        data: A file of one of ``surgeon.formats.FORMATS``; of a moving image or of several the first counts.
        side: Pixels that no side of a JPEG is reduced below.

    Raises:
        BadImageError: If the file cannot be decoded wholly, or is too large; the reason says what to do.
    """
    with _decoded(data, MAX_MEGAPIXELS, side) as look:
        return look


@contextmanager
def _decoded(data: bytes, max_megapixels: float, side: int | None = None) -> Iterator[Look]:
    """Decodes an image, whose pixels count as alive inside; whatever fails there becomes a ``BadImageError``."""
    form = recognize(data)
    try:
        container = _CONTAINERS.get(form, Container)(data)
        if container.size:
            _check_size(container.size, container.scans, max_megapixels)
        with _warnings_silenced(), ExitStack() as held:
            if form == "WEBP" and container.size:  # Pillow takes all of its memory when it opens one
                held.enter_context(_alive(container.size))
            image = held.enter_context(_opened(container.data, form))
            _check_size(image.size, container.scans, max_megapixels)
            size = image.size
            container = _with_metadata(container, image)
            if side:
                image.draft("RGB", (side, side))
            if form != "WEBP":
                held.enter_context(_alive(size if container.progressive else image.size))
            picture = _picture(image, container, side)
            turned = (container.orientation or 1) in (5, 6, 7, 8)
            yield Look(form, size if turned else size[::-1], container.orientation or 1, picture)
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        raise damaged(f"it cannot be opened as {form}, or is of a kind of it that surgeon does not read") from error
    except Image.DecompressionBombError as error:
        raise _too_large("too many pixels", max_megapixels) from error
    except Exception as error:  # decoders meet arbitrary bytes with arbitrary exceptions
        raise damaged(printable(error)[:200] or type(error).__name__) from error


def _opened(data: bytes, form: str) -> ImageFile.ImageFile:
    if form == "HEIF" and form not in Image.OPEN:
        import pillow_heif  # noqa: PLC0415  an extra

        pillow_heif.register_heif_opener()
    return Image.open(io.BytesIO(data), formats=[form])


def _check_size(size: tuple[int, int], scans: int, max_megapixels: float) -> None:
    megapixels = size[0] * size[1] / 1e6
    if megapixels > max_megapixels:
        raise _too_large(f"{size[0]} x {size[1]}, {megapixels:,.0f} megapixels", max_megapixels)
    if megapixels * scans > max_megapixels * _MOST_SCANS:
        raise LargeImageError(
            f"{scans} scans of {megapixels:,.0f} megapixels take too long; save it again or make it smaller"
        )


def _too_large(what: str, max_megapixels: float) -> LargeImageError:
    return LargeImageError(f"{what}; the limit is {max_megapixels:g} megapixels, make it smaller")


def _with_metadata(container: Container, image: ImageFile.ImageFile) -> Container:
    """Adds what Pillow finds in formats that are not taken apart here."""
    if container.orientation is None:
        xmp = image.info.get("xmp") if image.format == "WEBP" else None  # boxes of AVIF and HEIC say it themselves
        found = find_orientation(image.info.get("exif") or b"", xmp or b"")
        container = replace(container, orientation=found)
    return container if container.profile else replace(container, profile=image.info.get("icc_profile"))


def _picture(image: ImageFile.ImageFile, container: Container, side: int | None) -> Image.Image:
    """Returns an opened image upright, in sRGB and over white."""
    drawn = image.tile[0][1] if image.format == "GIF" else None
    image.load()
    if container.other_end is not None:
        _check_that_whole(image, container.other_end, side)
    rgb = to_rgb(image, container, _low_bytes(image, container))
    if drawn is not None and drawn != (0, 0, *rgb.size):  # the first frame of a GIF leaves something free
        part, rgb = rgb.crop(drawn), Image.new("RGB", rgb.size, "white")
        rgb.paste(part, drawn)
    return upright(rgb, container.orientation)


def _check_that_whole(image: ImageFile.ImageFile, other_end: bytes, side: int | None) -> None:
    with _opened(other_end, "JPEG") as other:
        if side:
            other.draft("RGB", (side, side))
        if ImageChops.difference(image, other).getbbox():
            raise damaged("truncated")


def _low_bytes(image: ImageFile.ImageFile, container: Container) -> Image.Image | None:
    """Decodes the lower bytes of a PNG with RGB of 16 bits and a transparent colour, which Pillow drops."""
    if image.mode != "RGB" or not container.key or container.depth < 16:
        return None
    with _opened(container.data, "PNG") as low:
        low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]
        samples: Image.Image = low.copy()
        return samples


_lock = threading.Lock()
_decoding = 0  # how many threads ignore warnings
_filters = ExitStack()


@contextmanager
def _warnings_silenced() -> Iterator[None]:
    """Ignores warnings as long as any thread is in here, since all threads share Python's warning filters."""
    global _decoding  # noqa: PLW0603
    with _lock:
        if _decoding == 0:
            _filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _decoding += 1
    try:
        yield
    finally:
        with _lock:
            _decoding -= 1
            if _decoding == 0:
                _filters.close()


_turn = threading.Lock()
_freed = threading.Condition()
_free = _ALIVE


@contextmanager
def _alive(size: tuple[int, int]) -> Iterator[None]:
    """Waits until there is room for an image's pixels; who came first is served first, however large the image."""
    global _free  # noqa: PLW0603
    pixels = min(size[0] * size[1], _ALIVE)
    with _turn, _freed:
        _freed.wait_for(lambda: _free >= pixels)
        _free -= pixels
    try:
        yield
    finally:
        with _freed:
            _free += pixels
            _freed.notify()
