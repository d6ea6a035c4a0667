"""Which files below a folder are images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surgeon.formats import FORMATS, HEAD, format_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes}


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
    if file.suffix.lower() in _SUFFIXES:
        return True
    with file.open("rb") as opened:
        return format_of(opened.read(HEAD)) is not None
