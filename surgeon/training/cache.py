"""The shelves in the user's cache: who uses them, how large they are, which have to go."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

_RESERVE = 2 << 30  # bytes of the disk that are left alone


@dataclass(frozen=True)
class ShelfSummary:
    """A shelf in the cache.

    Attributes:
        size: Bytes on the disk.
        used: When a run last used it, in seconds since the epoch.
        about: What it holds: ``network``, ``layers``, ``image_size``.
    """

    folder: Path
    size: int
    used: float
    about: Mapping[str, object]


def cache_root() -> Path:
    """Returns the folder of all shelves, which need not exist."""
    return platformdirs.user_cache_path("surgeon") / "features"


def list_shelves(root: Path) -> list[ShelfSummary]:
    """Returns the shelves, the least recently used first."""
    summaries = []
    for about in root.glob("*/about"):
        try:
            content, used = json.loads(about.read_text(encoding="utf-8")), about.stat().st_mtime
            size = sum(file.stat().st_size for file in about.parent.iterdir() if file.is_file())
        except (OSError, ValueError):
            continue  # another process is removing or making it
        summaries.append(ShelfSummary(about.parent, size, used, content))
    return sorted(summaries, key=lambda summary: summary.used)


@contextmanager
def shelf_in_use(folder: Path, about: Mapping[str, object]) -> Iterator[None]:
    """Makes a shelf's folder, notes that it is used now, and keeps others from removing it."""
    users = folder / "users"
    users.mkdir(parents=True, exist_ok=True)
    (folder / "about").write_text(json.dumps(about), encoding="utf-8")
    own = users / uuid.uuid4().hex
    with FileLock(own):
        yield
    own.unlink(missing_ok=True)


@contextmanager
def filling(folders: Collection[Path]) -> Iterator[None]:
    """Waits until no other process fills any of the shelves, and keeps them from it meanwhile."""
    with ExitStack() as locks:
        for folder in sorted(folders):  # in one order, so that nobody waits for each other
            locks.enter_context(FileLock(folder / "filling"))
        yield


def room_for(root: Path, needed: int) -> int:
    """Returns how many bytes of ``needed`` the cache has no room for, after removing what was not used for longest.

    The cache takes at most half of what would be free without it, and never what a run uses.
    """
    root.mkdir(parents=True, exist_ok=True)
    shelves = list_shelves(root)
    held = sum(shelf.size for shelf in shelves)
    limit = (shutil.disk_usage(root).free - _RESERVE + held) // 2
    for shelf in shelves:
        if held + needed <= limit:
            break
        held -= remove_shelf(shelf)
    return max(0, held + needed - limit)


def remove_shelf(shelf: ShelfSummary) -> int:
    """Removes a shelf unless a run uses it; returns the bytes that became free."""
    for user in (shelf.folder / "users").glob("*"):
        try:
            with FileLock(user, timeout=0):
                pass  # left behind by a run that was killed
        except Timeout:
            return 0
    shutil.rmtree(shelf.folder, ignore_errors=True)
    return shelf.size
