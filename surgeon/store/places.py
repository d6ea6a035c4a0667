"""Where something that is computed once is kept: on disk, in memory, or nowhere."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import psutil

from surgeon.results.forecast import Place
from surgeon.store.cache import cache_root, lacking_room
from surgeon.store.errors import StoreError, as_store_error

_PROBE_BYTES = 32 << 20


def choose_place(keep: str, needed: int, recompute_seconds: float) -> Place:
    """Decides where to keep what every epoch reads.

    The disk is best, since the next runs profit too; memory is next, of which at most half is taken. What lies
    on disk and fits into the free memory stays there once it was read; what does not is read from the disk in
    every epoch, and is worth that only if computing it again would take longer.

    Args:
        keep: ``auto``, ``memory`` or ``disk``.
        needed: Bytes.
        recompute_seconds: What an epoch would take longer if nothing were kept.
    """
    if keep != "auto":
        return Place(keep, f"{'in memory' if keep == 'memory' else 'on disk'}, as the recipe asks")
    try:
        return _place_on_disk(cache_root(), needed, recompute_seconds)
    except StoreError as error:
        return place_without_disk(needed, error.message)


def _place_on_disk(root: Path, needed: int, recompute_seconds: float) -> Place:
    """Decides for the disk if it can be used, has room and is fast enough."""
    if lacking := lacking_room(root, needed):
        return place_without_disk(needed, f"the cache on disk lacks {lacking / 1e9:,.1f} GB of space")
    if needed <= psutil.virtual_memory().available // 2:
        return Place("disk", "on disk, for the next runs too")
    speed = disk_speed(root)
    if needed / speed <= recompute_seconds:
        return Place("disk", f"on disk, which reads {speed / 1e6:,.0f} MB/s or more")
    reason = f"reading {needed / 1e9:,.1f} GB per epoch at {speed / 1e6:,.0f} MB/s takes longer than computing it again"
    return Place("nowhere", f"nowhere, since {reason}")


def place_without_disk(needed: int, lack: str) -> Place:
    """Decides where to keep what the disk does not take.

    Args:
        needed: Bytes.
        lack: What is wrong with the disk.
    """
    available = psutil.virtual_memory().available // 2
    if needed <= available:
        return Place("memory", f"in memory, since {lack}")
    return Place("nowhere", f"nowhere, since {lack}, and they need more than half of the free memory")


def disk_speed(folder: Path) -> float:
    """Returns the bytes a second that a disk takes, measured on a small file; it reads no slower than that.

    Raises:
        StoreError: If the disk does not take it.
    """
    content = os.urandom(_PROBE_BYTES)
    with as_store_error(folder), tempfile.TemporaryFile(dir=folder) as file:
        started = time.perf_counter()
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        return _PROBE_BYTES / (time.perf_counter() - started)
