"""What is said when the cache on disk fails."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from surgeon.errors import SurgeonError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class StoreError(SurgeonError):
    """The cache on disk cannot be read or written; what it would keep can be kept elsewhere."""


@contextmanager
def as_store_error(folder: Path) -> Iterator[None]:
    """Turns what the system says of the cache into an error that says what to do."""
    try:
        yield
    except (OSError, NotImplementedError) as error:  # the latter of a file system without locks
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise StoreError(
            f"the cache {folder} cannot be used: {reason}",
            "free some disk space (`surgeon cache clear`), set XDG_CACHE_HOME to a writable folder, or "
            "set features: memory; what was computed so far is kept",
        ) from error
