"""PNG files: which chunks the pixels depend on, and what the others say. See https://www.w3.org/TR/png-3/."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from surgeon.data.container import MAX_PIECES, MAX_PROFILE, Container, damaged
from surgeon.data.orientation import find_orientation

_MAX_TEXT = 4 << 20  # bytes of a text that may hold EXIF or XMP
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_EXIF_AS_TEXT = b"Raw profile type exif\0"
_XMP_AS_TEXT = b"XML:com.adobe.xmp\0"
_COLOUR, _PALETTE = 2, 3  # colour types


@dataclass
class _Metadata:
    exif: bytes = b""
    exif_as_text: bytes = b""
    xmp: bytes = b""
    profile: bytes | None = None
    transparent: bytes = b""


def open_png(data: bytes) -> Container:
    """Takes a PNG apart; of a moving one only the image that viewers without animation show is left.

    Raises:
        BadImageError: If a chunk that the pixels depend on is missing or damaged.
    """
    kept: list[bytes | memoryview] = [data[:8]]
    header: tuple[int, ...] = ()
    beside = _Metadata()
    for kind, body, chunk in _chunks(data):
        if not header:
            if kind != b"IHDR" or len(body) != 13:
                raise damaged("it does not begin with its header")
            header = struct.unpack(">IIBBBBB", body)
        if kind in _CRITICAL or (kind == b"tRNS" and header[3] == _PALETTE):
            kept.append(chunk)
        elif _is_critical(kind):
            raise damaged(f"it needs a part {kind.decode()}, which no viewer knows")
        else:
            _take(beside, kind, body)
    width, height, depth, colour, *_ = header
    return Container(
        b"".join(kept),
        (width, height),
        find_orientation(beside.exif or beside.exif_as_text, beside.xmp),
        beside.profile,
        _key(beside.transparent, depth, colour),
        depth,
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Yields kind, content and all bytes of each chunk; of pixels that are cut off what is there.

    A chunk that is not needed and whose checksum is wrong is left out, as libpng and thereby browsers do.
    """
    view, at, has_pixels = memoryview(data), 8, False
    for _ in range(MAX_PIECES):
        length, kind = struct.unpack(">I4s", data[at : at + 8].ljust(8, b"\0"))
        end = at + 8 + length
        if not kind.isalpha() or (end > len(data) and kind != b"IDAT"):
            if not has_pixels:
                raise damaged("truncated before its pixels")
            return
        body, checksum = view[at + 8 : end], data[end : end + 4]
        if len(checksum) < 4 or zlib.crc32(body, zlib.crc32(kind)) == int.from_bytes(checksum, "big"):
            has_pixels |= kind == b"IDAT"
            yield kind, body, view[at : end + 4]
        elif _is_critical(kind):
            raise damaged(f"the checksum of its part {kind.decode()} is wrong")
        if kind == b"IEND":
            return
        at = end + 4
    raise damaged(f"it has more than {MAX_PIECES:,} parts")


def _is_critical(kind: bytes) -> bool:
    return kind[:1].isupper()


def _take(beside: _Metadata, kind: bytes, body: memoryview) -> None:
    if kind == b"tRNS":
        beside.transparent = bytes(body[:6])
    elif kind == b"eXIf":
        beside.exif = bytes(body)
    elif kind == b"iCCP":
        _, _, packed = bytes(body).partition(b"\0")
        beside.profile = _unpacked(packed[1:], MAX_PROFILE) if packed[:1] == b"\0" else None
    elif kind in (b"tEXt", b"zTXt") and body[: len(_EXIF_AS_TEXT)] == _EXIF_AS_TEXT:
        text = bytes(body[len(_EXIF_AS_TEXT) :][:_MAX_TEXT])
        beside.exif_as_text = _from_hexadecimal(text if kind == b"tEXt" else _unpacked(text[1:], _MAX_TEXT))
    elif kind == b"iTXt" and body[: len(_XMP_AS_TEXT)] == _XMP_AS_TEXT:
        packed = bytes(body[len(_XMP_AS_TEXT) :][:_MAX_TEXT])
        *_, text = packed[2:].split(b"\0", 2)  # after the language and the translated keyword
        beside.xmp = _unpacked(text, _MAX_TEXT) if packed[:1] == b"\1" else text


def _unpacked(packed: bytes, most: int) -> bytes:
    """Returns what was compressed; nothing if it is broken or more than ``most`` bytes."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, most)
    except zlib.error:
        return b""
    return b"" if unpacker.unconsumed_tail else content


def _from_hexadecimal(text: bytes) -> bytes:
    """Returns the EXIF in a text of ImageMagick's: an empty line, what it is, its length, hexadecimal lines."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""


def _key(transparent: bytes, depth: int, colour: int) -> tuple[int, ...] | None:
    """Returns the colour that is transparent; of its 16 bits those count that a sample has."""
    values = 3 if colour == _COLOUR else 1
    if colour not in (0, _COLOUR) or len(transparent) < 2 * values:
        return None
    return tuple(value & (1 << depth) - 1 for value in struct.unpack_from(f">{values}H", transparent))
