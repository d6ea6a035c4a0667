"""The cache as a whole: whatever is in it can be seen and removed, what is used stays, and a run does without it."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surgeon.store import cache, places, rows
from surgeon.store.errors import StoreError

Surgeon = Callable[..., Any]
ABOUT = {"network": "vgg16", "layers": ["l"], "image_size": [8, 8]}
DAY = 86_400


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache.cache_root()


def make(folder: Path, network: str = "vgg16", age: float = 0) -> Path:
    """A shelf of a thousand bytes that was used ``age`` seconds ago."""
    with cache.shelf_in_use(folder, {**ABOUT, "network": network}):
        (folder / "rows").write_bytes(bytes(1000))
    then = (folder / "about").stat().st_mtime - age
    os.utime(folder / "about", (then, then))
    return folder


DAMAGED_ABOUTS: dict[str, bytes | None] = {
    "empty": b"",
    "cut": b'{"network": "vgg1',
    "another version's": b'{"format": 7}',
    "no object": b"[1, 2]",
    "of other types": b'{"network": {"a": 1}, "layers": 3, "image_size": "x"}',
    "no text": b"\xff\xfe\0",
    "deep": b"[" * 100_000,
    "missing": None,
}


@pytest.mark.parametrize("content", DAMAGED_ABOUTS.values(), ids=list(DAMAGED_ABOUTS))
def test_a_shelf_whose_description_is_damaged_is_seen_and_removed(
    content: bytes | None, root: Path, surgeon: Surgeon
) -> None:
    folder = make(root / "a")
    (folder / "about").unlink() if content is None else (folder / "about").write_bytes(content)
    (listed,) = json.loads(surgeon("cache", "list", "--format", "json").out)
    assert listed["folder"] == str(folder)
    assert listed["size"] >= 1000
    assert surgeon("cache", "list").code == 0
    assert surgeon("cache", "clear").out.endswith("removed; 0 in use and kept\n")
    assert not folder.exists()


@pytest.mark.parametrize("content", DAMAGED_ABOUTS.values(), ids=list(DAMAGED_ABOUTS))
def test_a_shelf_whose_description_is_damaged_is_used_and_described_anew(content: bytes | None, root: Path) -> None:
    folder = make(root / "a")
    (folder / "about").unlink() if content is None else (folder / "about").write_bytes(content)
    with cache.shelf_in_use(folder, ABOUT):
        assert cache.facts_of(folder).items() >= ABOUT.items()


def test_all_that_lies_there_is_seen_and_removed(root: Path, surgeon: Surgeon, tmp_path: Path) -> None:
    (root / "former" / "users").mkdir(parents=True)
    (root / "former" / "about").write_text(json.dumps(ABOUT), encoding="utf-8")
    (root / "former" / "users" / "killed").touch()
    for number in range(3):
        (root / "former" / f"{number}.bin").write_bytes(bytes(1000))
    (root / "other" / "deeper").mkdir(parents=True)
    (root / "other" / "deeper" / "file").write_bytes(bytes(500))
    (root / "speed-1.partial").write_bytes(bytes(300))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "link").symlink_to(elsewhere)
    assert json.loads(surgeon("cache", "size", "--format", "json").out)["bytes"] >= 3800
    surgeon("cache", "clear")
    assert surgeon("cache", "size").out == "0 bytes\n"
    assert elsewhere.exists()


def test_a_part_of_the_cache_is_cleared(root: Path, surgeon: Surgeon) -> None:
    old, other, new = make(root / "a", age=40 * DAY), make(root / "b", "resnet50", 40 * DAY), make(root / "c")
    of_recipe = make(root / "d")
    cache.note(of_recipe, recipe="photos")

    def left(*options: str) -> list[bool]:
        assert surgeon("cache", "clear", *options).code == 0
        return [folder.exists() for folder in (old, other, new)]

    assert left("--recipe", "photos") == [True, True, True]
    assert not of_recipe.exists()
    assert left("--older-than", "6w") == [True, True, True]
    assert left("--older-than", "30d", "--network", "vgg16") == [False, True, True]
    assert left("--network", "vgg16") == [False, True, False]
    assert left("--older-than", "12h") == [False, False, False]


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1.5d", "30 days", ""])
def test_what_is_no_age_is_said(age: str, root: Path, surgeon: Surgeon) -> None:
    outcome = surgeon("cache", "clear", "--older-than", age)
    assert outcome.code == 2
    assert "12h" in outcome.err


def test_who_takes_a_shelf_into_use_while_it_is_removed_has_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at a shelf's users and its removal nobody becomes one."""
    folder = make(root / "a")
    entered, leave = threading.Event(), threading.Event()
    is_used = cache._is_used

    def use() -> None:
        with cache.shelf_in_use(folder, ABOUT):
            (folder / "mine").touch()
            entered.set()
            leave.wait(30)

    user = threading.Thread(target=use)

    def look(at: Path) -> bool:
        found = is_used(at)
        if user.ident is None:
            user.start()
            entered.wait(0.5)
        return found

    monkeypatch.setattr(cache, "_is_used", look)
    (shelf,) = cache.list_shelves(root)
    assert cache.remove_shelf(shelf)
    assert entered.wait(30)
    try:
        assert (folder / "mine").exists()
        assert not cache.remove_shelf(cache.list_shelves(root)[0])
    finally:
        leave.set()
        user.join()


def test_clearing_in_a_loop_removes_nothing_that_is_used(root: Path) -> None:
    stop = threading.Event()

    def clear() -> None:
        while not stop.is_set():
            for shelf in cache.list_shelves(root):
                cache.remove_shelf(shelf)

    clearing = threading.Thread(target=clear)
    clearing.start()
    try:
        for number in range(30):
            with cache.shelf_in_use(root / "a", ABOUT):
                (root / "a" / "mine").write_text(str(number))
                assert cache.facts_of(root / "a") == ABOUT
                assert (root / "a" / "mine").read_text() == str(number)
    finally:
        stop.set()
        clearing.join()


def _file(parent: Path) -> Path:
    parent.write_text("a file where a folder should be")
    return parent


UNUSABLE: dict[str, Callable[[Path], Path]] = {
    "a folder that cannot be made": lambda parent: Path("/proc/nowhere"),
    "a file in its place": _file,
    "a file on the way": lambda parent: _file(parent) / "deeper",
}


@pytest.mark.parametrize("where", UNUSABLE.values(), ids=list(UNUSABLE))
def test_what_cannot_lie_on_disk_lies_in_memory(
    where: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, surgeon: Surgeon
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(where(tmp_path / "cache")))
    place = places.choose_place("auto", 1000, 1)
    assert place.kind == "memory"
    assert f"since the cache {cache.cache_root()} cannot be used: " in place.reason
    assert surgeon("cache", "size").out == "0 bytes\n"
    assert surgeon("cache", "clear").code == 0


def test_a_probe_that_the_disk_does_not_take_is_no_reason_to_fail(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> float:
        raise StoreError("the cache is full")

    monkeypatch.setattr(places, "disk_speed", full)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1 << 40}))
    monkeypatch.setattr(places.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    assert places.choose_place("auto", 5000, 1).kind == "nowhere"


@pytest.mark.usefixtures("tiny_and_small", "without_pictures")
@pytest.mark.parametrize("features", ["auto", "disk"])
@pytest.mark.parametrize("fault", ["no folder", "quota"])
def test_a_run_does_without_the_cache_and_says_so_unless_the_recipe_insists(
    fault: str, features: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, surgeon: Surgeon
) -> None:
    if fault == "no folder":
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    else:  # which shows only when something is written, in the middle of the work
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

        def over_quota(*_: object) -> None:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

        monkeypatch.setattr(rows, "_write", over_quota)
    outcome = surgeon("run", tiny, "--out", tmp_path / "run", "--set", f"features={features}")
    if features == "auto":
        assert outcome.code == 0
        assert "in memory, since the cache" in outcome.err
    else:
        assert outcome.code == 1
        assert "Traceback" not in outcome.err
        assert all(remedy in outcome.err for remedy in ("features: memory", "XDG_CACHE_HOME", "surgeon cache clear"))
