"""Which files below a folder are images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# TIFF, HEIC and AVIF cannot be decoded, but a photograph that is left out must be named and not just counted.
IMAGE_SUFFIX = re.compile(r"\.(jpe|jpe?g|jfif|png|gif|bmp|dib|webp|tiff?|hei[cf]|avif)", re.IGNORECASE)


def walk_images(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, bool]]:
    """Yields what lies below ``folder`` at any depth, sorted, and whether it is to be taken for an image."""
    real = folder.resolve()
    if real in above:
        return  # a symbolic link that leads back to a folder above it
    for entry in sorted(folder.iterdir()):
        if is_passed_over(entry):
            yield entry, False
        elif entry.is_dir():
            yield from walk_images(entry, above | {real})
        else:
            yield entry, entry.is_file() and _is_image(entry)


def is_passed_over(entry: Path) -> bool:
    """Tells what a system or a tool has put there."""
    return entry.name.startswith(".") or entry.name in ("__MACOSX", "Thumbs.db")


def _is_image(file: Path) -> bool:
    """Tells an image by its suffix or, failing that, by its first bytes."""
    if IMAGE_SUFFIX.fullmatch(file.suffix):
        return True
    with file.open("rb") as opened:
        start = opened.read(12)
    return (
        start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"))
        or (start.startswith(b"RIFF") and start.endswith(b"WEBP"))
        # The letters BM alone begin many a text; a bitmap has four reserved bytes, which are zero.
        or (start.startswith(b"BM") and start[6:10] == bytes(4))
    )
