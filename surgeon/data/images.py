"""From the bytes of an image file to RGB pixels, the way a viewer shows them."""

from __future__ import annotations

import io
import threading
import warnings
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from surgeon.errors import BadImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
ORIENTATION_TAG = 0x0112
UPRIGHT = {  # how to turn an image that was stored with this EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Look:
    """What a quick look at an image tells.

    Attributes:
        format: What its content is, one of ``FORMATS``.
        size: Height and width in pixels as a viewer shows it.
        orientation: How EXIF says that it was stored; 1 is upright, and so is what EXIF does not speak of.
        picture: The image, upright and RGB; a JPEG's sides may be reduced.
    """

    format: str
    size: tuple[int, int]
    orientation: int
    picture: Image.Image


def load_image(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decodes an image and resizes it, bilinear and antialiased, without keeping its aspect ratio.

    Args:
        data: A JPEG, PNG, GIF (of which the first frame counts), BMP or WebP file.
        size: Height and width in pixels.

    Returns:
        RGB pixels from 0 to 255, of shape (height, width, 3).

    Raises:
        BadImageError: If the file cannot be decoded wholly.
    """
    return fit_image(decode_image(data), size)


def fit_image(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resizes an RGB image as ``load_image`` does."""
    height, width = size
    # A side at a time: releases of Pillow differ in the side that they take first, which shows in the last bit.
    across = image.resize((width, image.height), Image.Resampling.BILINEAR)
    return np.array(across.resize((width, height), Image.Resampling.BILINEAR))


def decode_image(data: bytes) -> Image.Image:
    """Decodes an image upright, its transparent parts over white.

    Args:
        data: A JPEG, PNG, GIF (of which the first frame counts), BMP or WebP file.

    Returns:
        An image in mode ``RGB``, at its own size.

    Raises:
        BadImageError: If the file cannot be decoded wholly.
    """
    with _opened(data) as image:
        image.load()
        return _upright(_rgb(image), _orientation(image))


def look_at(data: bytes, side: int) -> Look:
    """Decodes an image as far as a look at it needs, which for a large JPEG takes a fraction of the time.

    Args:
        data: A JPEG, PNG, GIF (of which the first frame counts), BMP or WebP file.
        side: Pixels that no side of a JPEG is reduced below.

    Raises:
        BadImageError: If the file cannot be decoded wholly.
    """
    with _opened(data) as image:
        width, height = image.size
        image.draft("RGB", (side, side))
        image.load()
        orientation = _orientation(image)
        return Look(
            format="JPEG" if image.format == "MPO" else str(image.format),  # a JPEG with others behind it
            size=(width, height) if orientation >= 5 else (height, width),
            orientation=orientation,
            picture=_upright(_rgb(image), orientation),
        )


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Opens an image; whatever fails while it is open becomes a ``BadImageError``."""
    if not data:
        raise BadImageError("the file is empty")
    try:
        with _warnings_silenced(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except UnidentifiedImageError as error:
        raise BadImageError("not a readable JPEG, PNG, GIF, BMP or WebP image") from error
    except Image.DecompressionBombError as error:
        raise BadImageError("more pixels than any photograph: a decompression bomb") from error
    except Exception as error:  # Pillow's decoders meet arbitrary bytes with arbitrary exceptions
        raise BadImageError(f"damaged: {error or type(error).__name__}") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip instead of scale
        wide = np.asarray(image)
        grey = (wide >> 8).astype(np.uint8)
        grey[wide == image.info.get("transparency", -1)] = 255
        return Image.fromarray(grey).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _orientation(image: Image.Image) -> int:
    """Returns how an image is stored; viewers show one whose metadata are broken as it is."""
    with suppress(Exception):
        found = int(image.getexif()[ORIENTATION_TAG])
        return found if found in UPRIGHT else 1
    return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


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
