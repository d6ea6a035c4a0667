"""How an image was stored, and how it is turned upright.

The rules are those of Pillow's ``ImageOps.exif_transpose``: EXIF decides wherever it stands in the file; where it says
nothing of the orientation, XMP does. The thumbnail's own orientation (IFD1) does not count, and an image whose
metadata are broken is shown as it is stored.
"""

from __future__ import annotations

import re
import struct

from PIL import Image

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
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I"}  # of EXIF's types


def find_orientation(exif: bytes, xmp: bytes) -> int | None:
    """Returns EXIF's number for how an image is stored, or None if neither block says it."""
    found = _from_exif(exif)
    if found is None and (match := re.search(rb'tiff:Orientation(?:="|>)([0-9])', xmp)):
        found = int(match[1])
    return found


def upright(image: Image.Image, orientation: int | None) -> Image.Image:
    """Returns an image that was stored with an orientation as it is to be seen."""
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _from_exif(exif: bytes) -> int | None:
    """Reads one tag of the first directory and nothing else: the others may claim gigabytes."""
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for at in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", exif, at)
            if tag == ORIENTATION_TAG and kind in _WHOLE_NUMBERS and values == 1:
                return int(struct.unpack_from(order + _WHOLE_NUMBERS[kind], exif, at + 8)[0])
    except struct.error:  # cut off
        return None
    return None
