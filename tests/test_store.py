"""The store keeps what it was given, whole or not at all, whatever happens to the process and the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import slow_but

from surgeon.store import cache, places
from surgeon.store.errors import StoreError
from surgeon.store.shelf import Shelf, TensorSpec

SPECS = (TensorSpec((3, 2), "float32"), TensorSpec((5,), "float32"))
ROW = sum(spec.size for spec in SPECS)


def key(seed: int) -> bytes:
    """A key as digests are, some of which begin or end with zeros."""
    return seed.to_bytes(32, "big") if seed % 2 else seed.to_bytes(32, "little")


def tensors(*seeds: int) -> list[np.ndarray]:
    """What belongs to the image ``key(seed)``: it follows from the seed alone."""
    rows = [np.random.default_rng(seed).normal(size=11).astype(np.float32) for seed in seeds]
    return [np.stack([row[:6].reshape(3, 2) for row in rows]), np.stack([row[6:] for row in rows])]


def add(shelf: Shelf, *seeds: int) -> np.ndarray:
    rows = shelf.add([key(seed) for seed in seeds], tensors(*seeds))
    shelf.settle()
    return rows


@pytest.fixture
def open_shelf() -> Iterator[Callable[..., Shelf]]:
    with ExitStack() as life:
        yield lambda folder=None: life.enter_context(closing(Shelf(SPECS, 100, folder)))


@pytest.fixture
def find(finish: Callable[..., Any]) -> Callable[..., np.ndarray]:
    return lambda shelf, *seeds: finish(shelf.find([key(seed) for seed in seeds], "verify"))[0]


def assert_holds(shelf: Shelf, rows: np.ndarray, *seeds: int) -> None:
    found = shelf.gather(rows)
    assert [len(tensor) for tensor in found] == [len(seeds)] * len(SPECS)
    for tensor, expected in zip(found, tensors(*seeds) if seeds else found, strict=True):
        np.testing.assert_array_equal(tensor, expected)


@pytest.mark.parametrize("on_disk", [False, True])
def test_shelf_gives_back_what_it_was_given(
    on_disk: bool, tmp_path: Path, open_shelf: Callable[..., Shelf], find: Callable[..., np.ndarray]
) -> None:
    shelf = open_shelf(tmp_path if on_disk else None)
    assert find(shelf, 1, 2, 1).tolist() == [-1, -1, -1]
    rows = np.concatenate([add(shelf, 1, 2), add(shelf, 3)])
    assert_holds(shelf, rows[[2, 0, 1, 0]], 3, 1, 2, 1)
    with pytest.raises(IndexError, match="not on the shelf"):
        shelf.gather(np.array([0, -1]))
    if on_disk:
        again = open_shelf(tmp_path)
        found = find(again, 2, 4, 3, 1, 0)
        assert (found < 0).tolist() == [False, True, False, False, True]
        assert_holds(again, found[[0, 2, 3]], 2, 3, 1)


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path, open_shelf: Callable[..., Shelf]) -> None:
    shelf = open_shelf(tmp_path)
    with pytest.raises(ValueError, match="expected a tensor of shape"):
        shelf.add([key(1), key(2)], tensors(1))
    assert not (tmp_path / "rows").stat().st_size


def _written(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    with closing(Shelf(SPECS, 0, folder)) as shelf:
        add(shelf, 1)
        add(shelf, 2, 3)
    return folder


@pytest.mark.parametrize("name", ["rows", "keys"])
def test_any_damaged_bit_is_found_and_costs_only_its_image(
    name: str, tmp_path: Path, open_shelf: Callable[..., Shelf], find: Callable[..., np.ndarray]
) -> None:
    size = (_written(tmp_path / "size") / name).stat().st_size
    for at in range(0, size, 5):
        folder = _written(tmp_path / str(at))
        content = bytearray((folder / name).read_bytes())
        content[at] ^= 1 << at % 8
        (folder / name).write_bytes(content)
        shelf = open_shelf(folder)
        found = find(shelf, 1, 2, 3)
        (missing,) = np.flatnonzero(found < 0)
        assert missing == 3 * at // size
        add(shelf, int(missing) + 1)
        again = open_shelf(folder)
        assert_holds(again, find(again, 1, 2, 3), 1, 2, 3)


@pytest.mark.parametrize("left", [0, 20, ROW + 20, 2 * ROW])
@pytest.mark.parametrize("name", ["rows", "keys"])
def test_what_was_cut_off_does_not_exist(
    name: str, left: int, tmp_path: Path, open_shelf: Callable[..., Shelf], find: Callable[..., np.ndarray]
) -> None:
    folder = _written(tmp_path)
    os.truncate(folder / name, left if name == "rows" else left * 36 // ROW)
    shelf = open_shelf(folder)
    found = find(shelf, 1, 2, 3)
    assert np.count_nonzero(found >= 0) == left // ROW
    assert_holds(shelf, found[: left // ROW], *range(1, 1 + left // ROW))
    for seed in np.flatnonzero(found < 0) + 1:
        add(shelf, int(seed))
    again = open_shelf(folder)
    assert_holds(again, find(again, 3, 2, 1), 3, 2, 1)


def test_rows_that_are_cut_off_while_they_are_used_are_an_error(
    tmp_path: Path, open_shelf: Callable[..., Shelf], find: Callable[..., np.ndarray]
) -> None:
    """What is mapped would end the process."""
    shelf = open_shelf(_written(tmp_path))
    rows = find(shelf, 1, 2, 3)
    os.truncate(tmp_path / "rows", ROW)
    with pytest.raises(StoreError, match="rows was cut short"):
        shelf.gather(rows)
    assert_holds(shelf, rows[:1], 1)


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_store import SPECS, Shelf, add
shelf = Shelf(SPECS, 0, Path({folder!r}))
for seed in range({first}, {first} + 100000):
    add(shelf, seed)
    print(seed, flush=True)
"""


@pytest.mark.parametrize("kills", slow_but([2], [2, 5]))
def test_killed_in_the_middle_of_writing(
    kills: int, tmp_path: Path, open_shelf: Callable[..., Shelf], find: Callable[..., np.ndarray]
) -> None:
    written = 0
    for attempt in range(kills):
        script = WRITER.format(tests=str(Path(__file__).parent), folder=str(tmp_path), first=written)
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.03 * attempt)
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        if said:
            written = int(said[-1]) + 1
        shelf = open_shelf(tmp_path)
        assert_holds(shelf, find(shelf, *range(written)), *range(written))
    assert written > 5


def test_a_full_disk_leaves_the_shelf_as_it_was(
    tmp_path: Path, open_shelf: Callable[..., Shelf], find: Callable[..., np.ndarray]
) -> None:
    """A limit on the size of files makes writes fail as a full disk does."""
    script = (
        "import resource, signal, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from test_store import SPECS, Shelf, StoreError, add\n"
        f"shelf = Shelf(SPECS, 0, Path({str(tmp_path)!r}))\n"
        "add(shelf, 1)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    add(shelf, *range(2, 99))\n"
        "except StoreError as error:\n"
        "    print(error, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "cannot be used: File too large" in done.stdout
    assert "surgeon cache clear" in done.stdout
    shelf = open_shelf(tmp_path)
    assert (find(shelf, 1, 2) >= 0).tolist() == [True, False]
    add(shelf, 2)
    again = open_shelf(tmp_path)
    assert_holds(again, find(again, 1, 2), 1, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_many_additions_need_few_descriptors(tmp_path: Path, finish: Callable[..., Any]) -> None:
    import resource

    keys = [number.to_bytes(32, "little") for number in range(100_000)]
    values = np.arange(len(keys), dtype=np.float32)[:, None]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 32
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 6, hard))
    try:
        with closing(Shelf([TensorSpec((1,), "float32")], 0, tmp_path)) as shelf:
            for start in range(0, len(keys), 1000):
                shelf.add(keys[start : start + 1000], [values[start : start + 1000]])
            shelf.settle()
        with closing(Shelf([TensorSpec((1,), "float32")], 0, tmp_path)) as shelf:
            rows, _ = finish(shelf.find(keys[::-1], "verify"))
            np.testing.assert_array_equal(shelf.gather(rows)[0], values[::-1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


ABOUT = {"network": "n", "layers": ["l"], "image_size": [8, 8]}


def make_shelf(root: Path, name: str, seed: int, used: float) -> Path:
    with cache.shelf_in_use(root / name, ABOUT), closing(Shelf(SPECS, 0, root / name)) as shelf:
        add(shelf, seed)
    os.utime(root / name / "about", (used, used))
    return root / name


def test_what_was_not_used_for_longest_goes_first_and_what_is_used_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, used, newest = (make_shelf(tmp_path, name, at, at + 1.0) for at, name in enumerate("abc"))
    sizes = sum(shelf.size for shelf in cache.list_shelves(tmp_path))
    one = sizes // 3
    free = (1 << 31) + sizes  # twice as much as is held beside the reserve, so that the limit is what is held
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    with cache.shelf_in_use(used, ABOUT):
        os.utime(used / "about", (0, 0))
        assert cache.lacking_room(tmp_path, one) == 0
        assert oldest.exists()
        cache.make_room(tmp_path, one)
        assert (oldest.exists(), used.exists(), newest.exists()) == (False, True, True)
        assert cache.lacking_room(tmp_path, 10 * one) > 0
        cache.make_room(tmp_path, 10 * one)
        assert used.exists()


GB = 10**9


@pytest.mark.parametrize(
    ("disk", "memory", "recompute_seconds", "kind"),
    [
        (100, 16, 1, "disk"),
        (100, 2, 1000, "disk"),  # it does not stay in memory, but computing takes longer than reading
        (100, 2, 1, "nowhere"),  # reading takes longer than computing
        (4, 16, 1, "memory"),
        (4, 2, 1000, "nowhere"),
    ],
)
def test_the_place_follows_from_what_is_free(
    disk: int, memory: int, recompute_seconds: float, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": disk * GB}))
    monkeypatch.setattr(places.psutil, "virtual_memory", lambda: type("Memory", (), {"available": memory * GB}))
    monkeypatch.setattr(places, "disk_speed", lambda folder: 0.1 * GB)
    place = places.choose_place("auto", 5 * GB, recompute_seconds)
    assert place.kind == kind
    assert {"disk": "disk", "memory": "in memory", "nowhere": "nowhere"}[kind] in place.reason
    assert places.choose_place("memory", 5 * GB, 1).kind == "memory"
    assert places.choose_place("disk", 5 * GB, 1).kind == "disk"


def test_speed_of_the_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    assert places.disk_speed(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_shelf_whose_user_was_killed_can_go(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom surgeon.store.cache import shelf_in_use\n"
        f"with shelf_in_use(Path({str(folder)!r}), {ABOUT!r}):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    (shelf,) = cache.list_shelves(tmp_path)
    assert cache.remove_shelf(shelf)
    assert not folder.exists()


@pytest.mark.slow
def test_two_runs_at_once_fill_a_shelf_together(surgeon: Callable[..., Any], tiny: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "surgeon", "run", tiny, "--out", tmp_path / name, "--quiet"], env=environment
        )
        for name in ("one", "two")
    ]
    assert [run.wait() for run in runs] == [0, 0]
    assert (tmp_path / "one" / "predictions.csv").read_text() == (tmp_path / "two" / "predictions.csv").read_text()
    counts = [
        json.loads(line)
        for name in ("one", "two")
        for line in (tmp_path / name / "events.jsonl").read_text().splitlines()
    ]
    kept = [event for event in counts if event["event"] == "FeaturesKept"]
    assert sorted((event["known"], event["computed"]) for event in kept) == [(0, 24), (24, 0)]


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_cache_is_listed_measured_and_cleared(
    surgeon: Callable[..., Any], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert surgeon("cache", "size").out == "0 bytes\n"
    assert surgeon("run", tiny, "--out", tmp_path / "run", "-q").code == 0
    shelves = json.loads(surgeon("cache", "list", "--format", "json").out)
    assert [shelf["network"] for shelf in shelves] == ["decoded images", "efficientnetlite0"]
    total = sum(shelf["size"] for shelf in shelves)
    assert json.loads(surgeon("cache", "size", "--format", "json").out) == {"bytes": total}
    assert surgeon("cache", "size").out == f"{total / 1000:.1f} kB\n"
    assert "head_global_average_pooling" in surgeon("cache", "list").out
    with ExitStack() as life:
        life.enter_context(cache.shelf_in_use(Path(shelves[1]["folder"]), {}))
        assert "1 in use" in surgeon("cache", "clear").out
    assert "0 in use" in surgeon("cache", "clear").out
    assert surgeon("cache", "size").out == "0 bytes\n"
