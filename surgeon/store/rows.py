"""Rows of bytes by key in two files that only grow, so that whatever happens costs no more than it touched.

``rows`` holds the rows one after the other, ``keys`` a record for each of them: its key and a checksum of both. A
record is written when its row is on the disk. Nothing is ever taken away: a row that does not match its checksum, or
that its file is too short for, is as good as absent; it is added anew, and of two rows with one key the later one
counts. Rows are read and not mapped, since a mapped file that is cut short ends the process.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from surgeon.results.events import Progress
from surgeon.store.errors import StoreError, as_store_error

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from io import FileIO
    from pathlib import Path

    from numpy.typing import NDArray

KEY_BYTES = 32
_RECORD = np.dtype([("key", f"S{KEY_BYTES}"), ("checksum", "<u4")])
_VERIFIED_BYTES = 8 << 20  # that are in memory at once while rows are verified
_LOST_BYTES = 32 << 20  # a crash costs no more than so many bytes,
_LOST_SECONDS = 5.0  # nor more than was added in this time


class RowFile:
    """Rows of one size in a folder; one process at a time adds to it, any number reads."""

    def __init__(self, folder: Path, size: int) -> None:
        """Opens the rows in a folder, of ``size`` bytes each.

        Raises:
            StoreError: If that is not possible.
        """
        self._folder, self._size = folder, size
        self._keys_file = folder / "keys"
        self._lock = threading.Lock()  # around a position in the file and what is read there
        with as_store_error(folder):
            (folder / "rows").touch()
            self._keys_file.touch()
            self._records = np.fromfile(self._keys_file, _RECORD)
            self._file: FileIO = (folder / "rows").open("r+b", buffering=0)
        self._count = self._settled = len(self._records)
        self._pending: list[bytes] = []
        self._settled_at = time.monotonic()

    def close(self) -> None:
        """Closes the file; what was added after the last ``settle`` may be lost."""
        self._file.close()

    def find(self, keys: Sequence[bytes], task: str) -> Generator[Progress, None, NDArray[np.intp]]:
        """Returns where the rows of some keys lie, -1 for those that are absent; what it finds it has verified.

        Args:
            keys: Of ``KEY_BYTES`` bytes each.
            task: What the progress is called.

        Raises:
            StoreError: If the file cannot be read.
        """
        rows = _locate(self._records["key"], np.frombuffer(b"".join(keys), _RECORD["key"]))
        with as_store_error(self._folder):
            whole = os.fstat(self._file.fileno()).st_size // self._size
        known = np.unique(rows[(rows >= 0) & (rows < whole)])
        sound = np.zeros(len(self._records) + 1, bool)  # the last is for what is at -1
        at_once = max(1, _VERIFIED_BYTES // self._size)
        for start in range(0, len(known), at_once):
            block = known[start : start + at_once]
            records = self._records[block]
            sound[block] = _checksums(records["key"].tobytes(), self.read(block)) == records["checksum"]
            yield Progress(task, start + len(block), len(known), "images")
        return np.where(sound[rows], rows, -1)

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Returns rows as an array of shape (n, size).

        Raises:
            StoreError: If the file cannot be read, or was cut short since it was opened.
        """
        content = np.empty((len(rows), self._size), np.uint8)
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)  # rows that lie in a line are read at once
        with as_store_error(self._folder), self._lock:
            for start, stop in pairwise([*starts, len(rows)]):
                self._file.seek(int(rows[start]) * self._size)
                left = content[start:stop].data.cast("B")
                while left:
                    count = self._file.readinto(left)
                    if not count:
                        raise StoreError(
                            f"{self._folder / 'rows'} was cut short while it was in use",
                            "go on with `surgeon resume`; what is missing is computed again",
                        )
                    left = left[count:]
        return content

    def append(self, keys: Sequence[bytes], content: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Adds rows, which are safe after the next ``settle``; every few seconds that is done by itself.

        Returns:
            Where they lie.

        Raises:
            StoreError: If the disk is full or fails; what was settled stays.
        """
        joined = b"".join(keys)
        records = np.empty(len(keys), _RECORD)
        records["key"] = np.frombuffer(joined, _RECORD["key"])
        records["checksum"] = _checksums(joined, content)
        first = self._count
        with as_store_error(self._folder), self._lock:
            _write(self._file, first * self._size, content.data.cast("B"))
        self._count += len(keys)
        self._pending.append(records.tobytes())
        waiting = (self._count - self._settled) * self._size
        if waiting >= _LOST_BYTES or time.monotonic() - self._settled_at >= _LOST_SECONDS:
            self.settle()
        return np.arange(first, self._count)

    def settle(self) -> None:
        """Makes sure that all that was added survives a crash.

        Raises:
            StoreError: If the disk is full or fails; what was settled before stays.
        """
        if self._pending:
            with as_store_error(self._folder), self._keys_file.open("r+b", buffering=0) as file:
                os.fsync(self._file.fileno())
                _write(file, self._settled * _RECORD.itemsize, memoryview(b"".join(self._pending)))
                os.fsync(file.fileno())
        self._pending.clear()
        self._settled, self._settled_at = self._count, time.monotonic()


def _locate(known: NDArray[np.bytes_], wanted: NDArray[np.bytes_]) -> NDArray[np.intp]:
    """Returns the last position in ``known`` of each key in ``wanted``, or -1."""
    if not len(known):
        return np.full(len(wanted), -1)
    order = np.argsort(known, kind="stable")
    found = order[np.searchsorted(known, wanted, side="right", sorter=order) - 1]
    return np.where(known[found] == wanted, found, -1)


def _checksums(keys: bytes, content: NDArray[np.uint8]) -> NDArray[np.uint32]:
    starts = range(0, len(keys), KEY_BYTES)
    return np.array(
        [
            zlib.crc32(row, zlib.crc32(keys[start : start + KEY_BYTES]))
            for start, row in zip(starts, content, strict=True)
        ],
        np.uint32,
    )


def _write(file: FileIO, offset: int, content: memoryview) -> None:
    file.seek(offset)
    while content:
        content = content[file.write(content) :]
