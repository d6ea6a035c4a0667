"""What an image file holds: pixels for a decoder, and of what lies beside them that which changes their look.

Decoders get to see neither text nor previews nor other metadata of PNG, JPEG and TIFF. So those cannot make them fail,
nor unpack to more memory than there is; what matters of them is read by surgeon, within bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

from surgeon.errors import BadImageError

MAX_PIECES = 100_000  # chunks or segments that one file may have
MAX_PROFILE = 8 << 20  # bytes of a colour profile; those of printers have 2 to 3 million


@dataclass(frozen=True, eq=False)
class Container:
    """What an image file holds.

    Attributes:
        data: The file for a decoder.
        size: Width and height as they are stored; None if a decoder has to tell.
        orientation: How the pixels are stored, by EXIF's number; None if the file does not say.
        profile: The embedded colour profile.
        key: The grey value or the colour that is transparent, on the scale of the stored samples.
        depth: Bits of a stored sample.
        inverted: Whether 0 is white.
        scans: How often a JPEG goes over its pixels.
        progressive: Whether a decoder has to keep the whole JPEG before it has a pixel.
        other_end: Of a JPEG without an end marker the file with other bits behind its end: if that changes the
            pixels, some were missing.
    """

    data: bytes
    size: tuple[int, int] | None = None
    orientation: int | None = None
    profile: bytes | None = None
    key: tuple[int, ...] | None = None
    depth: int = 8
    inverted: bool = False
    scans: int = 1
    progressive: bool = False
    other_end: bytes | None = None


def damaged(what: str) -> BadImageError:
    """Returns the error for a file that does not hold all the pixels that it should."""
    return BadImageError(f"damaged: {what}; replace or remove it")
