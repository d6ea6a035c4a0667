"""A run that was stopped goes on, and ends as if it had never been."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import slow_but, write_tiny

from surgeon import api
from surgeon.errors import SurgeonError
from surgeon.recipe.compiler import compile_recipe
from surgeon.results.events import BatchEnded, EpochEnded
from surgeon.runs.checkpoint import read_checkpoint
from surgeon.runs.folder import create_run_folder, record_event, run_in_use
from surgeon.training.audit import variable_digests
from surgeon.training.runner import run

Surgeon = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("without_pictures")

# All that a run remembers: dropout, changes of images, statistics, momentum, schedules, averages, the best epoch, where
# it began.
WHOLE = (
    "{name: whole, trainable: all, layer_decay: 0.7, anchor: 0.1, batch_norm: train, loss: focal, sample: balanced,"
    " optimizer: {adam: {use_ema: true, ema_momentum: 0.9}},"
    " lr: {cosine: {peak: 0.003, warmup_epochs: 1}}, epochs: 4, until: {monitor: val_loss, patience: 9}}"
)
EVERYTHING = (
    "deterministic=true",
    "head=[global_average_pooling, batch_normalization, dropout: 0.3, dense: {units: classes, activation: softmax}]",
    "augment={flip: horizontal, rotation: 0.1, brightness: 0.2, erasing: 0.5, mix_up: 0.3}",
    "phases=["
    "{name: warm-up, trainable: head, optimizer: rmsprop, lr: {cosine: {peak: 0.01}}, epochs: 3},"
    f"{WHOLE},"
    "{name: head, trainable: head, average: 0.7, optimizer: {sgd: {momentum: 0.9, use_ema: true}},"
    " lr: {plateau: {initial: 0.01, patience: 1, min_delta: 9}}, epochs: 3}]",
)


def sets(overrides: tuple[str, ...]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def ends(folder: Path) -> dict[str, Any]:
    """What must not depend on whether a run was stopped."""
    network = keras.saving.load_model(folder / "network.keras")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    histories = [
        {name: values for name, values in phase["history"].items() if name != "seconds"} for phase in result["phases"]
    ]
    rows = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    return {
        "weights": variable_digests(network),
        "histories": histories,
        "best": [phase["best_epoch"] for phase in result["phases"]],
        "evaluation": result["evaluation"],
        "predictions": (folder / "predictions.csv").read_text(encoding="utf-8"),
        "rows": [[field for at, field in enumerate(row.split(",")) if at != 2] for row in rows],
    }


Stop = Callable[[Any], bool]


def within(step: int, *epochs: int) -> Stop:
    return lambda event: isinstance(event, BatchEnded) and event.step == step and (not epochs or event.epoch in epochs)


def behind(phase: str, epoch: int) -> Stop:
    return lambda event: isinstance(event, EpochEnded) and (event.phase, event.epoch) == (phase, epoch)


EVERYWHERE = [within(1)]
for ended in (("warm-up", 1), ("warm-up", 3), ("whole", 2), ("whole", 4), ("head", 1)):
    EVERYWHERE += [behind(*ended), within(2)]


def stop_at(folder: Path, last: Stop) -> None:
    """Does what is left of a run as far as the first event that ``last`` holds of."""
    work = run(compile_recipe(folder / "recipe.yaml"), folder)
    for event in work:
        if last(event):
            break
    work.close()


@pytest.mark.parametrize(
    ("asked", "stops", "said"),
    [
        pytest.param((*EVERYTHING[:-1], f"phases=[{WHOLE}]"), [within(2, 3)], "2 of phase 'whole'", id="one stop"),
        pytest.param(EVERYTHING, EVERYWHERE, "1 of phase 'head'", id="everywhere", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("tiny_and_small")
def test_a_run_that_was_stopped_anywhere_ends_as_if_it_had_not_been(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, asked: tuple[str, ...], stops: list[Stop], said: str
) -> None:
    """Stopped before the first epoch, within and behind epochs of every phase, each time with a new start."""
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    assert surgeon("run", tiny, "--out", whole, *sets(asked)).code == 0
    folder.mkdir()
    (folder / "recipe.yaml").write_bytes((whole / "recipe.yaml").read_bytes())
    for stop in stops:
        stop_at(folder, stop)
    done = surgeon("resume", folder)
    assert done.code == 0, done.err
    assert f"resuming after epoch {said}" in done.err
    assert ends(folder) == ends(whole)
    assert not (folder / "checkpoint.npz").exists()
    again = surgeon("resume", folder)
    assert (again.code, "is finished" in again.out) == (0, True)


def start(tiny: Path, out: Path, *overrides: str) -> subprocess.Popen[str]:
    """Starts a run and waits until it trains."""
    command = [sys.executable, "-m", "surgeon", "run", tiny, "--out", out, *sets(overrides)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (out / "history.csv").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_behind_its_step(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    process = start(tiny, out, "phases[0].epochs=100000")
    assert "is in use" in surgeon("resume", out).err
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "stopping after this step" in err
    assert f"hint: continue with `surgeon resume {out}`" in err
    assert "Traceback" not in err
    assert (out / "checkpoint.npz").exists()
    assert not (out / "result.json").exists()
    assert f"`surgeon resume {out}`" in surgeon("run", tiny, "--out", out).err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("tiny_and_small")
def test_a_signal_to_this_process_stops_a_run(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The same without a process of its own."""
    out, record = tmp_path / "run", api.record_event

    def record_and_send(folder: Path, event: Any) -> None:
        record(folder, event)
        if isinstance(event, BatchEnded) and event.epoch == 2:
            handler = signal.getsignal(number)
            assert callable(handler)
            handler(number, None)

    if threading.current_thread() is not threading.main_thread():
        pytest.skip("no signal reaches a run in this thread")
    monkeypatch.setattr(api, "record_event", record_and_send)
    done = surgeon("run", tiny, "--out", out)
    assert done.code == 128 + number
    assert "stopping after this step" in done.err
    assert f"hint: continue with `surgeon resume {out}`" in done.err
    assert (out / "checkpoint.npz").exists()
    assert not (out / "result.json").exists()


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory, photos: Path, small_network: Path) -> Path:
    """A run that was stopped behind its first epoch."""
    root = tmp_path_factory.mktemp("stopped")
    folder = root / "run"
    create_run_folder(compile_recipe(write_tiny(root / "tiny.yaml", photos, small_network)), folder)
    work = run(compile_recipe(folder / "recipe.yaml"), folder)
    for event in work:
        record_event(folder, event)
        if isinstance(event, EpochEnded):
            break
    work.close()
    return folder


@pytest.fixture
def stopped(stopped_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped_once, tmp_path / "stopped"))


def test_a_run_with_another_image_does_not_go_on(surgeon: Surgeon, stopped: Path, tmp_path: Path) -> None:
    lock = json.loads((stopped / "lock.json").read_text(encoding="utf-8"))
    lock["images"] |= {"along/3.png": "0" * 64}
    lock["weights"].popitem()
    lock["versions"]["keras"] = "3.0.0"
    (stopped / "lock.json").write_text(json.dumps(lock), encoding="utf-8")
    done = surgeon("resume", stopped)
    assert done.code == 1
    assert "was started with other inputs:\nimages along/3.png: was 000000000000..., is " in done.err
    assert "weights head_dense/bias: " in done.err
    assert "keras" not in done.err  # another release is worth a note, not a refusal
    assert (stopped / "checkpoint.npz").exists()


def test_a_run_with_another_recipe_does_not_go_on(surgeon: Surgeon, stopped: Path) -> None:
    recipe = stopped / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("epochs: 2", "epochs: 5"), encoding="utf-8")
    done = surgeon("resume", stopped)
    assert done.code == 1
    assert "recipe phases[0].epochs: was 2, is 5" in done.err


def test_another_release_is_worth_a_note(surgeon: Surgeon, stopped: Path) -> None:
    lock = json.loads((stopped / "lock.json").read_text(encoding="utf-8"))
    release = lock["versions"].pop("keras")
    (stopped / "lock.json").write_text(json.dumps({**lock, "hardware": {}}), encoding="utf-8")
    done = surgeon("resume", stopped)
    assert done.code == 0, done.err
    assert f'versions keras: "{release}" is new, so figures may differ' in done.err


def test_a_damaged_checkpoint_is_told(surgeon: Surgeon, stopped: Path) -> None:
    checkpoint = stopped / "checkpoint.npz"
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    done = surgeon("resume", stopped)
    assert done.code == 1
    assert f"{checkpoint} is damaged" in done.err
    assert "Traceback" not in done.err


def test_half_a_line_of_events_is_no_hindrance(surgeon: Surgeon, stopped: Path) -> None:
    with (stopped / "events.jsonl").open("a", encoding="utf-8") as events:
        events.write('{"event": "EpochEn')
    assert surgeon("resume", stopped).code == 0
    lines = (stopped / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines if "EpochEnded" in line] == [1, 2, 1]


def test_only_a_run_can_go_on(surgeon: Surgeon, tmp_path: Path) -> None:
    done = surgeon("resume", tmp_path)
    assert done.code == 2
    assert "holds no run" in done.err


def test_a_run_belongs_to_one_process(tmp_path: Path) -> None:
    with run_in_use(tmp_path), pytest.raises(SurgeonError, match="is in use"), run_in_use(tmp_path):
        pass
    with run_in_use(tmp_path):
        pass


@pytest.mark.parametrize("best", slow_but([True], [False, True]))
@pytest.mark.usefixtures("tiny_and_small")
def test_a_diverging_phase_leaves_the_network_before(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, *, best: bool
) -> None:
    """The rate is raised from epoch 3 on until nothing is finite."""
    until = ", until: {monitor: loss, patience: 9}" if best else ""
    lr = "{piecewise: {values: [0.001, 1.0e+15], epochs: [2]}}"
    phase = f"phases=[{{name: wild, trainable: all, optimizer: sgd, lr: {lr}, epochs: 4{until}}}]"
    done = surgeon("run", tiny, "--out", tmp_path / "wild", "--set", phase)
    assert done.code == 1
    assert "phase 'wild', epoch 3" in done.err
    assert "at lr 1e+15" in done.err
    assert "lower the phase's lr" in done.err
    assert ("holds the network of the best epoch" if best else "holds the network after epoch 2") in done.err
    short = phase.replace("epochs: 4", "epochs: 2").replace(lr, "0.001")
    assert surgeon("run", tiny, "--out", tmp_path / "short", "--set", short).code == 0
    left, expected = (keras.saving.load_model(tmp_path / name / "network.keras") for name in ("wild", "short"))
    for found, wanted in zip(left.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert not (tmp_path / "wild" / "result.json").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux"
    or subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs a mount namespace",
)
def test_a_full_disk_keeps_the_last_checkpoint(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    """The run lies on a disk that has room for one checkpoint of 18 MB and not for the next beside it."""
    head = "head=[flatten, dense: 1000, dense: {units: classes, activation: softmax}]"
    asked = sets((head, "deterministic=true", "phases=[{trainable: head, lr: 1.0e-4, epochs: 3}]"))
    assert surgeon("run", tiny, "--out", tmp_path / "whole", *asked).code == 0
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=30M surgeon "$DISK" || exit 99\n'
        '"$@" 2> "$KEPT/err"; echo $? > "$KEPT/code"\n'
        'mount -o remount,size=200M "$DISK" || exit 99\n'
        '"$PYTHON" -m surgeon resume "$DISK/run" --quiet && cp -r "$DISK/run" "$KEPT/full"\n'
    )
    command = [sys.executable, "-m", "surgeon", "run", tiny, "--out", disk / "run", *asked]
    environment = {**os.environ, "DISK": str(disk), "KEPT": str(tmp_path), "PYTHON": sys.executable}
    subprocess.run(["unshare", "-Urm", "sh", "-c", script, "sh", *command], env=environment, check=True)
    assert (tmp_path / "code").read_text(encoding="utf-8") == "1\n"
    error = (tmp_path / "err").read_text(encoding="utf-8")
    assert "No space left on device" in error
    assert "surgeon resume" in error
    assert "Traceback" not in error
    rows = (tmp_path / "full" / "events.jsonl").read_text(encoding="utf-8")
    assert "resuming after epoch 1" in rows
    assert ends(tmp_path / "full") == ends(tmp_path / "whole")


@pytest.mark.slow
def test_kills_change_nothing(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments of real processes: while they load, in the passes, in every phase."""
    longer = {
        "augment={": "augment={views: 2, ",
        "mix_up: 0.3": "mix_up: {of: features}",
        " epochs: ": " epochs: 10",
        "patience: 9": "patience: 999",
    }
    asked = EVERYTHING
    for short, long in longer.items():
        asked = tuple(override.replace(short, long) for override in asked)
    whole, folder, moments = tmp_path / "whole", tmp_path / "killed", random.Random(0)
    assert surgeon("run", tiny, "--out", whole, *sets(asked)).code == 0
    folder.mkdir()
    (folder / "recipe.yaml").write_bytes((whole / "recipe.yaml").read_bytes())
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "surgeon", "resume", folder, "--quiet"]
    points = sorted((phase, moments.randint(1, 95)) for phase in (1, 2, 3) for _ in range(2))
    killed_in = []
    for point in points:
        process = subprocess.Popen(command, env=environment)
        if point == points[0] or moments.random() < 0.3:
            time.sleep(moments.uniform(0.5, 4))  # while it loads, or in a pass
        else:
            while latest_epoch(folder) < point:
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.wait()
        killed_in.append(latest_epoch(folder)[0])
    subprocess.run(command, env=environment, check=True)
    assert set(killed_in) == {0, 1, 2, 3}
    assert ends(folder) == ends(whole)


def latest_epoch(folder: Path) -> tuple[int, int]:
    """The phase and the epoch that a run stands behind; zeros before the first."""
    latest = read_checkpoint(folder)
    return (0, 0) if latest is None else (latest.phase, latest.epoch)
