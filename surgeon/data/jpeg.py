"""JPEG files: which segments the pixels depend on, what the others say, and how much work the pixels are.

See ITU-T T.81, and libjpeg for what JFIF's and Adobe's markers say of the colours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from surgeon.data.container import MAX_PIECES, Container, damaged
from surgeon.data.orientation import find_orientation
from surgeon.errors import BadImageError

MAX_SCANS = 50  # progressive files of all common encoders have 6 to 12

_SCAN, _END, _COMMENT = 0xDA, 0xD9, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_MARKER = re.compile(rb"\xff[^\xff\0\x01\xd0-\xd8]")  # not those that have no length and may stand among pixels
_EOI = b"\xff\xd9"
_OTHER_BITS = bytes(range(180, 250, 3))  # a decoder takes missing bits for zeros, of which the first here is none
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PROFILE = b"ICC_PROFILE\0"


@dataclass
class _Metadata:
    exif: list[bytes] = field(default_factory=list)
    xmp: bytes = b""
    profile: list[bytes] = field(default_factory=list)


@dataclass
class _Scans:
    """What has been seen of the pixels."""

    count: int = 0
    whole: set[tuple[int, int]] = field(
        default_factory=set
    )  # components with coefficients that are there to the last bit
    ended: bool = False


def open_jpeg(data: bytes) -> Container:
    """Takes a JPEG apart; of several in one file only the first is left.

    Raises:
        BadImageError: If a segment that the pixels depend on is missing, or if decoding would take too long.
    """
    kept, beside, frame, progressive, scans = [data[:2]], _Metadata(), b"", False, _Scans()
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker == _SCAN:
            if not scans.count:
                kept.append(data[start:])
            _take_scan(scans, body, progressive=progressive)
            if not progressive and body[:1] == frame[5:6]:  # all components at once, so no other scan follows
                scans.ended = data.rfind(_EOI, end) >= 0
                break
        elif marker == _END:
            scans.ended = True
            break
        elif scans.count:
            continue  # a table between two scans
        elif 0xE0 <= marker <= 0xEF or marker == _COMMENT:
            kept += [data[start:end]] if _tells_colours(marker, body) else []
            _take(beside, marker, body)
        else:
            kept.append(data[start:end])
            if marker in _FRAMES:
                frame, progressive = body, marker in _PROGRESSIVE
    return _container(b"".join(kept), frame, progressive, scans, beside)


def _container(data: bytes, frame: bytes, progressive: bool, scans: _Scans, beside: _Metadata) -> Container:
    if not scans.count or len(frame) < 6:
        raise damaged("truncated before its pixels")
    if frame[0] != 8:
        raise BadImageError(f"a JPEG image of {frame[0]} bits, which surgeon does not read; convert it to 8 bits")
    if not scans.ended and not scans.whole >= {(component, at) for component in frame[6::3] for at in range(64)}:
        raise damaged("truncated, some scans are missing")
    cut = data.rstrip(b"\xff")
    return Container(
        data if scans.ended else cut + _EOI,
        (int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")),
        find_orientation(b"".join(beside.exif), beside.xmp),
        _joined(beside.profile),
        scans=scans.count,
        progressive=progressive,
        other_end=None if scans.ended else cut + _OTHER_BITS + _EOI,
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields the marker, start and end of each segment, up to the end marker; pixels are passed over."""
    at = 2
    for _ in range(MAX_PIECES):
        found = _MARKER.search(data, at)
        if found is None:
            return
        marker, start = data[found.start() + 1], found.start()
        at = start + 2 if marker == _END else found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
        if at > len(data):
            return
        yield marker, start, at
        if marker == _END:
            return
    raise damaged(f"it has more than {MAX_PIECES:,} parts")


def _take_scan(scans: _Scans, header: bytes, *, progressive: bool) -> None:
    scans.count += 1
    if scans.count > MAX_SCANS:
        raise BadImageError(
            f"a JPEG image of more than {MAX_SCANS} scans, too slow to decode; save it again or remove it"
        )
    *_, first, last, bits = b"\0\0\0" + header
    if not progressive:
        first, last, bits = 0, 63, 0
    if not bits & 0x0F:
        scans.whole |= {(component, at) for component in header[1:-3:2] for at in range(first, last + 1)}


def _tells_colours(marker: int, body: bytes) -> bool:
    """Tells whether libjpeg derives the colour space from a segment; shorter ones it does not understand."""
    return (marker == 0xE0 and body[:5] == b"JFIF\0" and len(body) >= 14) or (
        marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12
    )


def _take(beside: _Metadata, marker: int, body: bytes) -> None:
    if marker == 0xE1 and body.startswith(_EXIF):
        beside.exif.append(body[len(_EXIF) :])  # a long one is split
    elif marker == 0xE1 and body.startswith(_XMP):
        beside.xmp = body
    elif marker == 0xE2 and body.startswith(_PROFILE):
        beside.profile.append(body[len(_PROFILE) :])


def _joined(parts: list[bytes]) -> bytes | None:
    """Returns a profile of its parts, each of which begins with its number and their count; None if one is missing."""
    parts = sorted(parts)
    if [tuple(part[:2]) for part in parts] != [(number, len(parts)) for number in range(1, len(parts) + 1)]:
        return None
    return b"".join(part[2:] for part in parts) or None
