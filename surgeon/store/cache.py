"""The shelves in the user's cache: who uses them, how large they are, which have to go.

Who takes a shelf into use and who removes one holds the same lock while he does, so neither happens within the other.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from surgeon.files import read_regular
from surgeon.store.errors import StoreError, as_store_error

_RESERVE = 2 << 30  # bytes of the disk that are left alone
_ABOUT_BYTES = 1 << 20
_LOCK = ".lock"


@dataclass(frozen=True)
class ShelfSummary:
    """A shelf in the cache.

    Attributes:
        size: Bytes on the disk.
        used: When a run last used it, in seconds since the epoch.
        about: What it holds: ``network``, ``layers``, ``image_size`` and, of features, how fast they were computed and
            the name of the ``recipe`` that used them last. Empty if that was lost or is another version's.
    """

    folder: Path
    size: int
    used: float
    about: Mapping[str, Any]


def cache_root() -> Path:
    """Returns the folder of all shelves, which need not exist."""
    return platformdirs.user_cache_path("surgeon") / "features"


def list_shelves(root: Path) -> list[ShelfSummary]:
    """Returns the shelves, and whatever else lies there, the least recently used first.

    Raises:
        StoreError: If the cache cannot be read.
    """
    summaries = []
    with as_store_error(root):
        folders = [entry for entry in root.iterdir() if entry.name != _LOCK] if root.is_dir() else []
    for folder in folders:
        with suppress(FileNotFoundError):  # another process is removing it
            about = folder / "about"
            used = (about if about.is_file() else folder).lstat().st_mtime
            summaries.append(ShelfSummary(folder, _size_of(folder), used, facts_of(folder)))
    return sorted(summaries, key=lambda summary: summary.used)


def _is_folder(entry: Path) -> bool:
    return entry.is_dir() and not entry.is_symlink()


def _size_of(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*") if _is_folder(folder) else [folder]:
        with suppress(OSError):  # that went or cannot be seen
            size += 0 if _is_folder(file) else file.lstat().st_size
    return size


@contextmanager
def shelf_in_use(folder: Path, about: Mapping[str, object]) -> Iterator[None]:
    """Makes a shelf's folder, notes that it is used now, and keeps others from removing it.

    Raises:
        StoreError: If the cache cannot be written.
    """
    users = folder / "users"
    user = users / uuid.uuid4().hex
    lock = FileLock(user)
    with _settled(folder.parent), as_store_error(folder.parent):
        users.mkdir(parents=True, exist_ok=True)
        _drop_dead(users)
        note(folder, **about)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            user.unlink()


@contextmanager
def _settled(root: Path) -> Iterator[None]:
    """Keeps others meanwhile from taking shelves into use and from removing them."""
    lock = FileLock(root / _LOCK)
    with as_store_error(root):
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def note(folder: Path, **facts: object) -> None:
    """Adds facts to what is known about a shelf.

    Raises:
        StoreError: If the cache cannot be written.
    """
    partial = folder / f"{uuid.uuid4().hex}.partial"
    with as_store_error(folder.parent):
        partial.write_text(json.dumps({**facts_of(folder), **facts}), encoding="utf-8")
        partial.replace(folder / "about")


def facts_of(folder: Path) -> dict[str, Any]:
    """Returns what is known about a shelf; nothing if that was lost."""
    try:
        facts = json.loads(read_regular(folder / "about", _ABOUT_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


@contextmanager
def filling(folders: Collection[Path]) -> Iterator[None]:
    """Waits until no other process fills any of the shelves, and keeps them from it meanwhile.

    Raises:
        StoreError: If the cache cannot be written.
    """
    with ExitStack() as locks:
        for folder in sorted(folders):  # in one order, so that nobody waits for each other
            with as_store_error(folder.parent):
                locks.enter_context(FileLock(folder / "filling"))
        yield


def lacking_room(root: Path, needed: int) -> int:
    """Returns how many bytes of ``needed`` the cache cannot have, even if all that no run uses goes.

    The cache takes at most half of what would be free without it.

    Raises:
        StoreError: If the cache cannot be written.
    """
    with _settled(root):
        shelves = list_shelves(root)
        in_use = sum(shelf.size for shelf in shelves if _is_used(shelf.folder))
    return max(0, in_use + needed - _limit(root, shelves))


def make_room(root: Path, needed: int) -> None:
    """Removes what was not used for longest until the cache has room for ``needed`` more bytes.

    Where nothing is needed nothing goes, however small the disk: a run may be about to use it.

    Raises:
        StoreError: If the cache cannot be read.
    """
    if not needed:
        return
    shelves = list_shelves(root)
    held, limit = sum(shelf.size for shelf in shelves), _limit(root, shelves)
    for shelf in shelves:
        if held + needed <= limit:
            break
        with suppress(StoreError):  # what cannot be removed stays, and the next one goes
            held -= shelf.size if remove_shelf(shelf) else 0


def _limit(root: Path, shelves: Collection[ShelfSummary]) -> int:
    with as_store_error(root):
        free = shutil.disk_usage(root).free
    return (free - _RESERVE + sum(shelf.size for shelf in shelves)) // 2


def remove_shelf(shelf: ShelfSummary) -> bool:
    """Removes a shelf and returns True, or False if a run uses it at this moment.

    Raises:
        StoreError: If it cannot be removed.
    """
    gone = shelf.folder.with_name(uuid.uuid4().hex)
    with _settled(shelf.folder.parent), as_store_error(shelf.folder):
        if _is_used(shelf.folder):
            return False
        with suppress(FileNotFoundError):  # another process has removed it
            shelf.folder.rename(gone)  # at once, however many files it holds: nobody shall find half of it
    with as_store_error(shelf.folder), suppress(FileNotFoundError):
        shutil.rmtree(gone) if _is_folder(gone) else gone.unlink()
    return True


def _is_used(folder: Path) -> bool:
    """Tells whether a run uses a shelf at this moment."""
    return any(user.is_file() and _is_held(user) for user in (folder / "users").glob("*"))


def _drop_dead(users: Path) -> None:
    """Removes what runs that were killed have left."""
    for user in users.iterdir():
        if user.is_file() and not _is_held(user):
            user.unlink(missing_ok=True)


def _is_held(user: Path) -> bool:
    with as_store_error(user.parent.parent):
        try:
            with FileLock(user, timeout=0):
                return False
        except Timeout:
            return True
