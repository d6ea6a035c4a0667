"""Digests of image files, kept by path, size and times of change as git keeps its index, and what a look at each told.

So a file is read once, and decoded for a look once.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from platformdirs import user_cache_path

_FILE = "digests.sqlite"
_SETTLED = 2.0  # seconds; a file that was changed a moment ago may change again without its times telling
_TABLES = (
    "CREATE TABLE IF NOT EXISTS digests (path BLOB PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS looks (digest TEXT PRIMARY KEY, look BLOB NOT NULL)",
)
_MOST_VARIABLES = 500  # of a statement

Stamp = str


def stamp_of(path: bytes) -> Stamp | None:
    """Returns what changes when a file does: its device, number, size and times; None for one that cannot be looked at.

    The time of its last change of any kind is among them, which no program can set back.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - a path of bytes
    except OSError:
        return None
    if max(found.st_mtime, found.st_ctime) > time.time() - _SETTLED:
        return None
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def known_digests(stamps: Mapping[bytes, Stamp]) -> dict[bytes, str]:
    """Returns the digests of the files, by their absolute paths, that are what they were when they were read."""
    found: dict[bytes, str] = {}
    for path, stamp, digest in _rows("SELECT path, stamp, digest FROM digests WHERE path", list(stamps)):
        if stamps[path] == stamp:
            found[path] = digest
    return found


def keep_digests(rows: Iterable[tuple[bytes, Stamp, str]]) -> None:
    """Keeps digests by path and stamp; where that is not possible, files are read again."""
    with suppress(sqlite3.Error, OSError), closing(_opened()) as database, database:
        database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", rows)


def known_looks(digests: Collection[str]) -> dict[str, bytes]:
    """Returns what a look at images told, by the digests of their files, as far as that is kept."""
    return dict(_rows("SELECT digest, look FROM looks WHERE digest", list(digests)))


def keep_looks(rows: Iterable[tuple[str, bytes]]) -> None:
    """Keeps what a look at images told, by digest; where that is not possible, they are looked at again."""
    with suppress(sqlite3.Error, OSError), closing(_opened()) as database, database:
        database.executemany("INSERT OR REPLACE INTO looks VALUES (?, ?)", rows)


def _rows(select: str, keys: Sequence[str | bytes]) -> Iterator[tuple[Any, ...]]:
    """Yields the rows whose last-named column is one of ``keys``, as far as the database can be read."""
    with suppress(sqlite3.Error, OSError), closing(_opened()) as database:
        for start in range(0, len(keys), _MOST_VARIABLES):
            asked = keys[start : start + _MOST_VARIABLES]
            yield from database.execute(f"{select} IN ({','.join('?' * len(asked))})", asked)


def _opened() -> sqlite3.Connection:
    folder = user_cache_path("surgeon")
    folder.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(folder / _FILE, timeout=5)
    for table in _TABLES:
        database.execute(table)
    return database
