"""Reading files from outside: regular files only, and never more than was agreed upon."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


# Opening a pipe without a writer would wait for one. Windows has no such flag, but one that keeps line ends.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class FileTooLargeError(OSError):
    """A file that is larger than its reader takes; ``strerror`` says by how much."""


def read_regular(path: Path, most: int) -> bytes:
    """Returns the content of a regular file; a pipe or a device is refused without waiting for it.

    Args:
        path: The file, or a symbolic link to it.
        most: How many bytes are taken.

    Raises:
        FileTooLargeError: If there are more; a sparse file counts at its full length. Nothing large is read first.
        OSError: If it cannot be read or is not a regular file.
    """
    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file", str(path))
        # What grows while it is read, or says that it has no length as files of /proc do, is bounded too.
        content = b"" if status.st_size > most else file.read(most + 1)
    if status.st_size > most or len(content) > most:
        size = max(status.st_size, len(content))
        raise FileTooLargeError(0, f"{size:,} bytes, more than the {most:,} that are taken", str(path))
    return content
