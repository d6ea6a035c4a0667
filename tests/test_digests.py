"""Each image is read once for its digest, unless it has changed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from surgeon.catalogue.sources import SOURCES
from surgeon.catalogue.sources.listing import LabelledImage
from surgeon.data import dataset
from surgeon.store import digests

Finish = Callable[..., Any]


@pytest.fixture
def old(photos: Path, tmp_path: Path) -> Path:
    """Photographs that nobody has touched for a while."""
    return Path(shutil.copytree(photos, tmp_path / "photos"))


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_SETTLED", 0.0)


def reads(images: Sequence[LabelledImage], finish: Finish) -> tuple[list[str], tuple[str, ...]]:
    """The names of the images that are read, and the digests of all."""
    read: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        real = LabelledImage.read
        patch.setattr(LabelledImage, "read", lambda image: (read.append(image.name), real(image))[1])
        found, _ = finish(dataset._digests(images))
    return sorted(read), found


def test_a_file_is_read_once(old: Path, finish: Finish) -> None:
    images = SOURCES["folder"].read({"path": str(old)}, ()).images
    first, found = reads(images, finish)
    assert len(first) == len(images)
    assert found == tuple(hashlib.sha256(image.read()).hexdigest() for image in images)
    assert reads(images, finish) == ([], found)


def test_a_file_that_was_changed_is_read_again(old: Path, finish: Finish) -> None:
    """Of the same size, and with its time set back."""
    images = SOURCES["folder"].read({"path": str(old)}, ()).images
    reads(images, finish)
    path = images[3].path
    assert path is not None
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    read, found = reads(images, finish)
    assert read == [images[3].name]
    assert found[3] == hashlib.sha256(content).hexdigest()


def test_a_file_of_this_moment_is_not_trusted(old: Path, finish: Finish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_SETTLED", 3600.0)
    images = SOURCES["folder"].read({"path": str(old)}, ()).images
    for _ in range(2):
        assert len(reads(images, finish)[0]) == len(images)


def test_without_a_cache_files_are_read(old: Path, finish: Finish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
    images = SOURCES["folder"].read({"path": str(old)}, ()).images
    for _ in range(2):
        assert len(reads(images, finish)[0]) == len(images)
