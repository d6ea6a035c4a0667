"""AVIF and HEIC files, which are boxes in boxes: EXIF is hidden, since their decoders read each claim of it.

How such an image lies is said by boxes of its own (``irot``, ``imir``); by the standard EXIF has no part in it.
"""

from __future__ import annotations

import re

from surgeon.data.container import Container

# The entry of an item in versions 2 and 3: its number of 16 or 32 bits, how it is protected, its kind.
_EXIF_ITEM = re.compile(rb"(infe\x02.{3}.{2}.{2}|infe\x03.{3}.{4}.{2})Exif", re.DOTALL)


def open_heif(data: bytes) -> Container:
    """Returns an AVIF or HEIC whose EXIF no decoder finds."""
    return Container(_EXIF_ITEM.sub(rb"\1skip", data))
