"""The shelves in the user's cache: who uses them, how large they are, which have to go."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

_RESERVE = 2 << 30  # bytes of the disk that are left alone


@dataclass(frozen=True)
class ShelfSummary:
    """A shelf in the cache.

    Attributes:
        size: Bytes on the disk.
        used: When a run last used it, in seconds since the epoch.
        about: What it holds: ``network``, ``layers``, ``image_size`` and, of features, how fast they were computed.
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
    note(folder, **about)
    own = users / uuid.uuid4().hex
    with FileLock(own):
        yield
    own.unlink(missing_ok=True)


def note(folder: Path, **facts: object) -> None:
    """Adds facts to what is known about a shelf."""
    (folder / "about").write_text(json.dumps({**facts_of(folder), **facts}), encoding="utf-8")


def facts_of(folder: Path) -> dict[str, Any]:
    """Returns what is known about a shelf; nothing if that was lost."""
    try:
        return dict(json.loads((folder / "about").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


@contextmanager
def filling(folders: Collection[Path]) -> Iterator[None]:
    """Waits until no other process fills any of the shelves, and keeps them from it meanwhile."""
    with ExitStack() as locks:
        for folder in sorted(folders):  # in one order, so that nobody waits for each other
            locks.enter_context(FileLock(folder / "filling"))
        yield


def lacking_room(root: Path, needed: int) -> int:
    """Returns how many bytes of ``needed`` the cache cannot have, even if all that no run uses goes.

    The cache takes at most half of what would be free without it.
    """
    shelves = list_shelves(root)
    in_use = sum(shelf.size for shelf in shelves if is_used(shelf))
    return max(0, in_use + needed - _limit(root, shelves))


def make_room(root: Path, needed: int) -> None:
    """Removes what was not used for longest until the cache has room for ``needed`` more bytes.

    Where nothing is needed nothing goes, however small the disk: a run may be about to use it.
    """
    if not needed:
        return
    shelves = list_shelves(root)
    held, limit = sum(shelf.size for shelf in shelves), _limit(root, shelves)
    for shelf in shelves:
        if held + needed <= limit:
            break
        held -= remove_shelf(shelf)


def _limit(root: Path, shelves: Collection[ShelfSummary]) -> int:
    root.mkdir(parents=True, exist_ok=True)
    return (shutil.disk_usage(root).free - _RESERVE + sum(shelf.size for shelf in shelves)) // 2


def is_used(shelf: ShelfSummary) -> bool:
    """Tells whether a run uses a shelf at this moment."""
    for user in (shelf.folder / "users").glob("*"):
        try:
            with FileLock(user, timeout=0):
                pass  # left behind by a run that was killed
        except Timeout:
            return True
    return False


def remove_shelf(shelf: ShelfSummary) -> int:
    """Removes a shelf unless a run uses it; returns the bytes that became free."""
    if is_used(shelf):
        return 0
    shutil.rmtree(shelf.folder, ignore_errors=True)
    return shelf.size
