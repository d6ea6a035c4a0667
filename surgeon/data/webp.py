"""WebP files: how large one is, since Pillow asks for its memory when it opens one.

See https://developers.google.com/speed/webp/docs/riff_container.
"""

from __future__ import annotations

from surgeon.data.container import Container, damaged


def open_webp(data: bytes) -> Container:
    """Reads the size of a WebP.

    Raises:
        BadImageError: If it is cut off before that.
    """
    if len(data) < 30:
        raise damaged("truncated before its pixels")
    form = data[12:16]
    if form == b"VP8X":
        size = _number(data[24:27]) + 1, _number(data[27:30]) + 1
    elif form == b"VP8L":
        bits = _number(data[21:25])
        size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        size = _number(data[26:28]) & 0x3FFF, _number(data[28:30]) & 0x3FFF
    return Container(data, size)


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")
