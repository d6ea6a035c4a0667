"""Reading files from outside: regular files only, and never more than was agreed upon."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path
    from zipfile import ZipFile


# Opening a pipe without a writer would wait for one. Windows has no such flag, but one that keeps line ends.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class FileTooLargeError(OSError):
    """A file that is larger than its reader takes; ``strerror`` says by how much."""


@contextmanager
def open_regular(path: Path, most: int) -> Iterator[BinaryIO]:
    """Opens a regular file; a pipe or a device is refused without waiting for it.

    Args:
        path: The file, or a symbolic link to it.
        most: How many bytes are taken.

    Raises:
        FileTooLargeError: If there are more; a sparse file counts at its full length.
        OSError: If it cannot be read or is not a regular file.
    """
    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file", str(path))
        if status.st_size > most:
            raise _too_large(path, status.st_size, most)
        yield file


def read_regular(path: Path, most: int) -> bytes:
    """Returns the content of a regular file; see ``open_regular``.

    Raises:
        FileTooLargeError: If it has more than ``most`` bytes. Nothing large is read first.
        OSError: If it cannot be read or is not a regular file.
    """
    with open_regular(path, most) as file:
        content = file.read(most + 1)
    # What grows while it is read, or says that it has no length as files of /proc do, is bounded too.
    if len(content) > most:
        raise _too_large(path, len(content), most)
    return content


def check_stored(archive: ZipFile, file: BinaryIO) -> None:
    """Makes sure that an archive of what is not compressed holds no more than its file has bytes, as a bomb does.

    Args:
        archive: That was opened on ``file``.
        file: Asked itself, since another one may have taken its path by now.

    Raises:
        ValueError: If it does.
    """
    if sum(member.file_size for member in archive.infolist()) > os.fstat(file.fileno()).st_size:
        raise ValueError("it holds more than was put into it")


def _too_large(path: Path, size: int, most: int) -> FileTooLargeError:
    return FileTooLargeError(0, f"{size:,} bytes, more than the {most:,} that are taken", str(path))
