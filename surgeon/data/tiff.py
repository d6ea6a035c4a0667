"""TIFF files: the first image alone, with the tags that its pixels depend on. See TIFF 6.0 and BigTIFF."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from surgeon.data.container import MAX_PROFILE, Container, damaged
from surgeon.errors import BadImageError

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 258, 262, 274, 322, 323
_SUBFILE, _PROFILE, _SAMPLE_FORMAT, _DNG = 254, 34675, 339, 50706
_PIXEL_TAGS = {  # also compression, fill order, strips, samples, planes, predictor, colour map, tiles, JPEG, YCbCr
    *(_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _TILE_WIDTH, _TILE_HEIGHT, _SAMPLE_FORMAT),
    *(259, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 324, 325, 332, 338, 347, *range(512, 533)),
}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MAX_VALUES = 1_000_000  # of a tag, such as places of strips
_MAX_TAGS = 1_000


@dataclass(frozen=True)
class _Layout:
    """How a file writes its numbers."""

    order: str
    count: str  # of tags
    entry: str  # a tag, its type, how many values it has, and these or where they are
    place: str


@dataclass(frozen=True)
class _Entry:
    """One tag; ``raw`` is all of it as it stands in the directory."""

    raw: bytes
    kind: int
    content: bytes


def open_tiff(data: bytes) -> Container:
    """Takes a TIFF apart; of several pages the first is left.

    Raises:
        BadImageError: If its directory is damaged, or if it is a raw photograph, whose first image is a preview.
    """
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    layout = _Layout(order, "Q", "HHQ8s", "Q") if version == 43 else _Layout(order, "H", "HHI4s", "I")
    place_at = 8 if version == 43 else 4
    try:
        entries = _directory(data, layout, place_at)
    except struct.error as error:
        raise damaged("truncated, it ends before its directory") from error
    if _DNG in entries or _number(entries, layout, _SUBFILE, 0) & 1:
        raise BadImageError("a camera raw file with a preview, which surgeon does not read; convert it to TIFF or JPEG")
    width, height = (_number(entries, layout, tag, 0) for tag in (_WIDTH, _HEIGHT))
    depth = _number(entries, layout, _BITS, 1)
    inverted = depth > 8 and _number(entries, layout, _PHOTOMETRIC, 1) == 0
    if inverted:  # which Pillow knows of some kinds only, so it sees the opposite
        raw = entries[_PHOTOMETRIC].raw
        value = struct.pack(layout.order + "H", 1).ljust(struct.calcsize(layout.place), b"\0")
        entries[_PHOTOMETRIC] = _Entry(raw[: -len(value)] + value, 3, value)
    tile = [_number(entries, layout, tag, 0) for tag in (_TILE_WIDTH, _TILE_HEIGHT)]
    profile = entries[_PROFILE].content if _PROFILE in entries else None
    return Container(
        _with_directory(data, layout, place_at, [entries[tag].raw for tag in sorted(entries.keys() & _PIXEL_TAGS)]),
        (max(width, tile[0]), max(height, tile[1])),
        _number(entries, layout, _ORIENTATION, 1),
        profile if profile and len(profile) <= MAX_PROFILE else None,
        depth=depth,
        inverted=inverted,
    )


def _directory(data: bytes, layout: _Layout, place_at: int) -> dict[int, _Entry]:
    """Returns the tags of the first image that matter here."""
    (place,) = struct.unpack_from(layout.order + layout.place, data, place_at)
    (count,) = struct.unpack_from(layout.order + layout.count, data, place)
    if count > _MAX_TAGS:
        raise damaged(f"it has {count:,} tags")
    entries: dict[int, _Entry] = {}
    entry = struct.Struct(layout.order + layout.entry)
    at = place + struct.calcsize(layout.order + layout.count)
    for start in range(at, at + count * entry.size, entry.size):
        tag, kind, values, inside = entry.unpack_from(data, start)
        if tag in entries or tag not in _PIXEL_TAGS | {_SUBFILE, _ORIENTATION, _PROFILE, _DNG}:
            continue
        size = values * _SIZES.get(kind, 0)
        if tag != _PROFILE and values > _MAX_VALUES and kind != 7:
            raise damaged(f"its tag {tag} has {values:,} values")
        (outside,) = struct.unpack(layout.order + layout.place, inside)
        content = inside[:size] if size <= len(inside) else data[outside : outside + size]
        entries[tag] = _Entry(data[start : start + entry.size], kind, content)
    return entries


def _number(entries: dict[int, _Entry], layout: _Layout, tag: int, default: int) -> int:
    """Returns the first value of a tag."""
    entry = entries.get(tag)
    if entry is None or entry.kind not in _WHOLE_NUMBERS:
        return default
    form = layout.order + _WHOLE_NUMBERS[entry.kind]
    return int(struct.unpack_from(form, entry.content)[0]) if len(entry.content) >= struct.calcsize(form) else default


def _with_directory(data: bytes, layout: _Layout, place_at: int, entries: list[bytes]) -> bytes:
    """Returns a file whose directory, at its end, holds some entries alone; what they point to stays where it is."""
    place = struct.pack(layout.order + layout.place, len(data) + len(data) % 2)
    count = struct.pack(layout.order + layout.count, len(entries))
    parts = [data[:place_at], place, data[place_at + len(place) :], bytes(len(data) % 2), count, *entries]
    return b"".join([*parts, bytes(len(place))])
