"""What commands show on terminals of 60, 80 and 120 columns."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pyte
import pyte.modes
import pytest
from conftest import call, write_tiny

from surgeon.catalogue.kinds import KINDS
from surgeon.report.progress import ProgressDisplay
from surgeon.report.terminal import Terminal
from surgeon.results.events import BatchEnded, EpochEnded, PhaseStarted, Progress

Surgeon = Callable[..., Any]

WIDTHS = (60, 80, 120)
# Two names that differ where a narrow column would cut them, and two ranges of layers.
NAMES = (
    "a photograph that was taken in the garden in May, large.png",
    "a photograph that was taken in the garden in May.png",
)
RANGES = ("block2a_expand_conv..", "block2a_expand_bn..")
SWEEP = f"sweep: {{vary: {{'phases[1].trainable': {list(RANGES)}}}, method: grid}}\n"


def on_screen(text: str, columns: int) -> list[str]:
    """The lines that a terminal has after a program wrote ``text``, escape sequences and all."""
    screen = pyte.Screen(columns, text.count("\n") + len(text) // columns + 1)
    screen.set_mode(pyte.modes.LNM)
    pyte.Stream(screen).feed(text)
    return [line.rstrip() for line in screen.display]


def words(lines: Collection[str]) -> set[str]:
    return {word for line in lines for word in line.split()}


@pytest.fixture(params=WIDTHS, ids="{} columns".format)
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


@pytest.fixture
def shown(surgeon: Surgeon, columns: int) -> Callable[..., list[str]]:
    """Runs a command; returns what is on the terminal when it has ended."""

    def run(*arguments: object) -> list[str]:
        done = surgeon(*arguments)
        assert done.code == 0, done.err
        return on_screen(done.err + done.out, columns)

    return run


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A recipe, a run of it, a sweep over it and two photographs."""
    folder = tmp_path_factory.mktemp("desk")
    recipe = write_tiny(folder / "tiny.yaml", photos)
    for name in NAMES:
        shutil.copy(next(photos.glob("*/*.png")), folder / name)
    swept = folder / "swept.yaml"
    swept.write_text(recipe.read_text(encoding="utf-8") + SWEEP, encoding="utf-8")
    assert call("run", recipe, "--out", folder / "run", "--quiet", pictures=False) == 0
    assert call("sweep", swept, "--out", folder / "sweep", "--quiet") == 0
    return folder


def test_no_name_of_a_network_is_broken(shown: Callable[..., list[str]]) -> None:
    assert set(KINDS["backbone"]) <= words(shown("backbones"))


@pytest.mark.slow
def test_no_key_of_a_plan_is_broken(shown: Callable[..., list[str]], desk: Path) -> None:
    keys = {"data.split.group.near_copies", "head[1].dense.kernel_initializer", "phases[0].optimizer.adam.ema_momentum"}
    assert keys <= words(shown("plan", desk / "tiny.yaml"))


@pytest.mark.slow
def test_runs_are_told_apart(shown: Callable[..., list[str]], desk: Path) -> None:
    names = [f"the_run_with_a_rate_of_{rate}_and_the_head_of_the_recipe" for rate in ("0.001", "0.01")]
    for name in names:
        shutil.copytree(desk / "run", desk / name, dirs_exist_ok=True)
    head = itertools.takewhile(lambda line: "─" not in line, shown("compare", *(desk / name for name in names)))
    parts = [line.split() for line in head if line.strip()]
    assert ["".join(column) for column in zip(*parts, strict=True)] == names


@pytest.mark.slow
def test_the_whole_name_of_a_photograph_is_shown(shown: Callable[..., list[str]], desk: Path) -> None:
    lines = shown("predict", desk / "run", *(desk / name for name in NAMES))
    head = next(line for line in lines if line.split()[:2] == ["image", "class"])
    column = "".join(line[: head.index("class")] for line in lines)
    for name in NAMES:
        assert "".join(str(desk / name).split()) in "".join(column.split())


@pytest.mark.slow
def test_trials_are_told_apart(shown: Callable[..., list[str]], desk: Path) -> None:
    text = shown("sweep", "--resume", desk / "sweep")
    assert set(RANGES) <= words(text)


@pytest.mark.slow
def test_an_epoch_is_a_line(shown: Callable[..., list[str]], desk: Path, columns: int, tmp_path: Path) -> None:
    lines = shown("run", desk / "tiny.yaml", "--out", tmp_path / "run")
    titles = [number for number, line in enumerate(lines) if line.split()[:2] == ["epoch", "loss"]]
    assert len(titles) == 2
    for title in titles:
        assert ("lr" in lines[title].split()) == (columns > 60)
        assert lines[title].split()[-1] == "time"
        assert lines[title + 1].split()[0] == "1"
        assert lines[title + 1].split()[-1] == "s"
    assert any(line.startswith("report:") for line in lines)


def test_a_bar_keeps_the_time_left(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    phase = "fine-tune from the fourth block with a small rate"
    with ProgressDisplay(Terminal()) as display:
        display.show(Progress("compute the frozen layers of block5_conv3", 1, 4, "images"))
        display._bars.refresh()
        of_pass = capsys.readouterr().out
        display.show(PhaseStarted(phase, 1, 1, 100, 20, 3))
        display.show(BatchEnded(phase, 12, 3, 20, 0.5, 0.5))
        display._bars.refresh()
        of_phase = capsys.readouterr().out
        display.show(EpochEnded(phase, 12, 1.25, {"loss": 0.5, "accuracy": 0.5, "lr": 3.162e-05, "val_loss": 1.5}))
    for text in (of_pass, of_phase):
        (bar,) = [line for line in on_screen(text, columns) if line.endswith("left")]
        assert "-:--:--" in bar
    assert "loss 0.500" in bar
    rows = [line for line in on_screen(capsys.readouterr().out, columns) if line]
    assert rows[0].split()[0] == "epoch"
    assert rows[1].split()[:2] == ["12", "0.5000"]
    assert all(len(row) < columns for row in rows[:2])
