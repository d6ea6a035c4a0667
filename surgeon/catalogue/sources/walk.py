"""What lies below a folder: images, photographs that are left out, and what systems and tools have put there."""

from __future__ import annotations

import mimetypes
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from surgeon.formats import FORMATS, HEAD, OTHER_SUFFIXES, format_of, other_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes}

# Why a photograph, or a folder, is left out.
DANGLING = "links that lead nowhere"
UNREAD = "images of a format that surgeon does not read, to be converted to PNG or JPEG"
SPECIAL = "pipes, sockets or devices under an image's name"
UNOPENED = "files and folders that cannot be opened"
STRAY = "images outside the class folders"
EMPTY = "folders without an image that surgeon reads"

# Thumbnails, previews, bins and lists of network drives, systems and tools, beside those whose names begin with a dot.
_PASSED_OVER = re.compile(
    r"\..*|@eadir|[@#]recycle|#snapshot|@recently-snapshot|@snapshots?|~snapshot|@tmp|@__thumb|\$recycle\.bin|recycler"
    r"|lost\+found|lost\.dir|found\.\d{3}|system volume information|dfsrprivate|network trash folder|temporary items"
    r"|__macosx|__pycache__|_vti_cnf|ehthumbs(_vista)?\.db|thumbs\.db(:encryptable)?|desktop\.ini|icon\r",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Found:
    """Something below a folder.

    Attributes:
        is_image: Whether it is to be taken for an image.
        reason: Why a photograph is left out; None for an image, and for what no one will miss.
    """

    path: Path
    is_image: bool = False
    reason: str | None = None


def walk(folder: Path) -> Iterator[Found]:
    """Yields what lies below ``folder`` at any depth, sorted, the files of a folder before the folders in it.

    A folder that is passed over is yielded once, and nothing of what is in it. Links are followed, but not in circles.
    """
    waiting: list[tuple[Path, frozenset[str]]] = [(folder, frozenset())]
    while waiting:
        inner, above = waiting.pop()
        real = os.path.realpath(inner)
        if real in above:
            continue
        try:
            entries = sorted(os.scandir(inner), key=lambda entry: entry.name)
        except OSError:
            yield Found(inner, reason=UNOPENED)
            continue
        folders = []
        for entry in entries:
            path = inner / entry.name
            if is_passed_over(entry.name):
                yield Found(path)
            elif _is_folder(entry):
                folders.append(path)
            else:
                yield _look(path, entry)
        waiting += [(path, above | {real}) for path in reversed(folders)]


def is_passed_over(name: str) -> bool:
    """Tells what a system or a tool has put there by its name."""
    return _PASSED_OVER.fullmatch(name) is not None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _look(path: Path, entry: os.DirEntry[str]) -> Found:
    """Tells an image by its suffix or, failing that, by its first bytes."""
    suffix = path.suffix.lower()
    try:
        if entry.is_symlink() and not path.exists():
            return Found(path, reason=DANGLING)
        if not entry.is_file():
            return Found(path, reason=SPECIAL if suffix in IMAGE_SUFFIXES else None)
        if suffix in IMAGE_SUFFIXES:
            return Found(path, is_image=True)
        if suffix in OTHER_SUFFIXES:
            return Found(path, reason=UNREAD)
        return _look_inside(path)
    except OSError:
        return Found(path, reason=UNOPENED)


def _look_inside(path: Path) -> Found:
    with path.open("rb") as opened:
        head = opened.read(HEAD)
    if format_of(head) is not None:
        return Found(path, is_image=True)
    is_unread = mimetypes.guess_type(path.name)[0] is None and other_image(head)  # a text may begin as a PPM does
    return Found(path, reason=UNREAD if is_unread else None)
