"""The store keeps what it was given, whole or not at all, whatever happens to the process and the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surgeon.store import cache, places
from surgeon.store.shelf import Shelf, TensorSpec

SPECS = (TensorSpec((3, 2), "float32"), TensorSpec((5,), "float32"))


def tensors(*seeds: int) -> list[np.ndarray]:
    """What belongs to the images ``str(seed)``: it follows from the seed alone."""
    rows = [np.random.default_rng(seed).normal(size=11).astype(np.float32) for seed in seeds]
    return [np.stack([row[:6].reshape(3, 2) for row in rows]), np.stack([row[6:] for row in rows])]


def assert_holds(shelf: Shelf, *seeds: int) -> None:
    assert shelf.missing(map(str, seeds)) == []
    for found, expected in zip(shelf.gather([str(seed) for seed in seeds]), tensors(*seeds), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("on_disk", [False, True])
def test_shelf_gives_back_what_it_was_given(on_disk: bool, tmp_path: Path) -> None:
    shelf = Shelf(SPECS, tmp_path if on_disk else None)
    assert shelf.missing(["1", "2", "1"]) == ["1", "2"]
    shelf.add(["1", "2"], tensors(1, 2))
    shelf.add(["3"], tensors(3))
    assert shelf.missing(["1", "4", "3"]) == ["4"]
    assert_holds(shelf, 3, 1, 2, 1)
    if on_disk:
        assert_holds(Shelf(SPECS, tmp_path), 2, 3, 1)


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a tensor of shape"):
        Shelf(SPECS, tmp_path).add(["1", "2"], tensors(1))
    assert not list(tmp_path.iterdir())


def test_any_damaged_byte_is_found_and_costs_only_its_chunk(tmp_path: Path) -> None:
    size = next(iter(_written(tmp_path / "size").glob("*.bin"))).stat().st_size
    for at in range(0, size, 7):
        folder = _written(tmp_path / str(at))
        damaged = sorted(folder.glob("*.bin"))[0]
        content = bytearray(damaged.read_bytes())
        content[at] ^= 1
        damaged.write_bytes(content)
        shelf = Shelf(SPECS, folder)
        assert len(shelf.missing(["1", "2"])) == 1
        shelf.add(["1"], tensors(1))
        shelf.add(["2"], tensors(2))
        assert_holds(Shelf(SPECS, folder), 1, 2)


@pytest.mark.parametrize("suffix", [".bin", ".json"])
def test_a_chunk_cut_short_does_not_exist(suffix: str, tmp_path: Path) -> None:
    folder = _written(tmp_path)
    cut = sorted(folder.glob(f"*{suffix}"))[0]
    cut.write_bytes(cut.read_bytes()[:20])
    assert len(Shelf(SPECS, folder).missing(["1", "2"])) == 1
    assert len(list(folder.iterdir())) == 2


def _written(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    shelf = Shelf(SPECS, folder)
    shelf.add(["1"], tensors(1))
    shelf.add(["2"], tensors(2))
    return folder


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_store import SPECS, Shelf, tensors
shelf = Shelf(SPECS, Path({folder!r}))
for seed in range({first}, {first} + 100000):
    shelf.add([str(seed)], tensors(seed))
    print(seed, flush=True)
"""


def test_killed_in_the_middle_of_writing(tmp_path: Path) -> None:
    written = 0
    for attempt in range(5):
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
        assert_holds(Shelf(SPECS, tmp_path), *range(written))
        assert not list(tmp_path.glob("*.partial"))
    assert written > 5


def test_a_full_disk_leaves_the_shelf_as_it_was(tmp_path: Path) -> None:
    """A limit on the size of files makes writes fail as a full disk does."""
    script = (
        "import resource, signal, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from test_store import SPECS, Shelf, tensors\n"
        f"shelf = Shelf(SPECS, Path({str(tmp_path)!r}))\n"
        "shelf.add(['1'], tensors(1))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    shelf.add([str(n) for n in range(2, 99)], tensors(*range(2, 99)))\n"
        "except OSError as error:\n"
        "    print('full', error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("full")
    assert not list(tmp_path.glob("*.partial"))
    shelf = Shelf(SPECS, tmp_path)
    assert_holds(shelf, 1)
    assert shelf.missing(["2"]) == ["2"]


ABOUT = {"network": "n", "layers": ["l"], "image_size": [8, 8]}


def make_shelf(root: Path, name: str, seed: int, used: float) -> Path:
    with cache.shelf_in_use(root / name, ABOUT):
        Shelf(SPECS, root / name).add([str(seed)], tensors(seed))
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
    assert cache.remove_shelf(shelf) == shelf.size
    assert not folder.exists()


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


def test_cache_is_listed_measured_and_cleared(
    surgeon: Callable[..., Any], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert surgeon("cache", "size").out == "0\n"
    assert surgeon("run", tiny, "--out", tmp_path / "run", "-q").code == 0
    shelves = json.loads(surgeon("cache", "list", "--format", "json").out)
    assert [shelf["network"] for shelf in shelves] == ["decoded images", "efficientnetlite0"]
    assert int(surgeon("cache", "size").out) == sum(shelf["size"] for shelf in shelves) > 0
    assert "head_global_average_pooling" in surgeon("cache", "list").out
    with ExitStack() as life:
        life.enter_context(cache.shelf_in_use(Path(shelves[1]["folder"]), {}))
        assert "1 in use" in surgeon("cache", "clear").out
    assert "0 in use" in surgeon("cache", "clear").out
    assert surgeon("cache", "size").out == "0\n"
