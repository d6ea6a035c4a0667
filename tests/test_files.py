"""Reading files from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from surgeon.files import FileTooLargeError, read_regular


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_regular(file, 5) == b"12345"
    with pytest.raises(FileTooLargeError, match="5 bytes, more than the 4"):
        read_regular(file, 4)


def test_a_sparse_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as opened:
        opened.truncate(5 << 30)
    with pytest.raises(FileTooLargeError):
        read_regular(file, 1 << 20)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(tmp_path / "pipe", 10)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_file_that_hides_its_length_is_bounded() -> None:
    with pytest.raises(FileTooLargeError):
        read_regular(Path("/proc/self/status"), 10)
