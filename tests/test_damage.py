"""Files of a run that were cut short, emptied, overwritten or flipped: said, with what to do, and never a traceback."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, write_tiny

from surgeon.errors import SurgeonError
from surgeon.recipe.bundle import read_bundle
from surgeon.recipe.compiler import compile_recipe
from surgeon.results.events import EpochEnded
from surgeon.results.run import result_figures
from surgeon.runs.checkpoint import read_checkpoint
from surgeon.runs.folder import (
    count_images,
    create_run_folder,
    read_notes,
    read_predictions,
    read_splits,
    record_event,
)
from surgeon.runs.lock import read_lock
from surgeon.runs.pictures import read_pictures
from surgeon.runs.plan_file import read_plan, read_run, write_plan
from surgeon.training.runner import run

Surgeon = Callable[..., Any]

FINISHED = (
    "recipe.yaml",
    "result.json",
    "lock.json",
    "bundle.json",
    "predictions.csv",
    "splits.csv",
    "history.csv",
    "events.jsonl",
    "network.keras",
    "plan.json",
    "pictures.zip",
)
STOPPED = (
    "recipe.yaml",
    "lock.json",
    "checkpoint.npz",
    "history.csv",
    "events.jsonl",
    "splits.csv",
    "bundle.json",
    "plan.json",
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, photos: Path, small_network: Path) -> Path:
    return write_tiny(tmp_path_factory.mktemp("recipe") / "tiny.yaml", photos, small_network)


@pytest.fixture(scope="module")
def finished(recipe: Path) -> Path:
    """A run of the small network: whatever reads, trains or exports it is quick."""
    assert call("run", recipe, "--out", recipe.parent / "finished", "--quiet") == 0
    return recipe.parent / "finished"


@pytest.fixture(scope="module")
def stopped(recipe: Path) -> Path:
    """A run that was stopped within its second phase."""
    folder, plan = recipe.parent / "stopped", compile_recipe(recipe)
    create_run_folder(plan, folder)
    write_plan(folder, plan)
    work = run(plan, folder)
    for event in work:
        record_event(folder, event)
        if isinstance(event, EpochEnded) and event.phase == "fine-tune":
            break
    work.close()
    return folder


def damages(content: bytes, flips: int) -> Iterator[bytes | None]:
    """A file's content damaged in many ways; None stands for a folder in its place."""
    dice = random.Random(len(content))
    for part in (0, 0.1, 0.5, 0.9):
        yield content[: int(part * len(content))]
    yield content[:-1]
    yield from (b"[]", b"{}", b"null", b"7", b"[" * 100_000, b"\n" * 9, dice.randbytes(2000), b"\0" * 2000, None)
    for _ in range(flips):
        flipped = bytearray(content)
        flipped[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        yield bytes(flipped)


def put(path: Path, content: bytes | None) -> None:
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)


def said(work: Callable[[], object]) -> str:
    """What is said of the damage, if anything is; whatever else is raised fails the test."""
    try:
        work()
    except SurgeonError as error:
        return error.message
    return ""


def read_all(folder: Path) -> Iterator[Callable[[], object]]:
    """What the commands read of a run, and what they make of it."""
    yield lambda: result_figures(read_run(folder)[1])
    yield lambda: read_lock(folder)
    yield lambda: read_pictures(folder)
    yield lambda: read_bundle(folder)
    yield lambda: read_predictions(folder)
    yield lambda: read_splits(folder)
    yield lambda: count_images(folder, ())
    yield lambda: read_notes(folder)
    yield lambda: read_checkpoint(folder)


@pytest.fixture
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a run, to be damaged."""
    return Path(shutil.copytree(request.getfixturevalue(request.param), tmp_path / "run"))


PLACES = [("finished", name) for name in FINISHED] + [("stopped", name) for name in STOPPED]


@pytest.mark.parametrize(("damaged", "name"), PLACES, indirect=["damaged"])
def test_whatever_is_damaged_is_told(damaged: Path, name: str) -> None:
    path = damaged / name
    for content in damages(path.read_bytes(), flips=40):
        if path.is_dir():
            path.rmdir()
        put(path, content)
        for read in read_all(damaged):
            said(read)


JSON = {"result.json": read_run, "lock.json": read_lock, "bundle.json": read_bundle, "plan.json": read_plan}


@pytest.mark.parametrize("damaged", ["finished"], indirect=True)
@pytest.mark.parametrize("name", JSON)
def test_a_field_more_is_ignored_and_one_less_is_named(damaged: Path, name: str) -> None:
    path, read = damaged / name, JSON[name]
    whole = json.loads(path.read_text(encoding="utf-8"))
    before = read(damaged)
    path.write_text(json.dumps({**whole, "of a later version": [1]}), encoding="utf-8")
    assert read(damaged) == before
    for field in whole:
        path.write_text(json.dumps({key: value for key, value in whole.items() if key != field}), encoding="utf-8")
        found = said(lambda: read(damaged))
        assert field in ("left_out", "version", "acceptance", "rejection", "flip") or (
            f"`{field}`" in found and f"{path} is damaged" in found
        )


@pytest.mark.parametrize("damaged", ["stopped"], indirect=True)
def test_any_flipped_bit_of_a_checkpoint_is_told(damaged: Path) -> None:
    path = damaged / "checkpoint.npz"
    content, dice = path.read_bytes(), random.Random(0)
    places = [*range(64), *range(len(content) - 128, len(content)), *dice.sample(range(len(content)), 40)]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        assert f"{path} is damaged" in said(lambda: read_checkpoint(damaged))


@pytest.mark.parametrize("damaged", ["stopped"], indirect=True)
def test_a_checkpoint_of_an_older_version_is_told(damaged: Path) -> None:
    path = damaged / "checkpoint.npz"
    with np.load(path) as arrays:
        values = dict(arrays)
    np.savez(path, **values)
    assert "an older version of surgeon wrote it" in said(lambda: read_checkpoint(damaged))


@pytest.mark.parametrize("damaged", ["stopped"], indirect=True)
def test_a_checkpoint_without_its_lock_is_not_trained_from(surgeon: Surgeon, damaged: Path) -> None:
    (damaged / "lock.json").unlink()
    done = surgeon("resume", damaged)
    assert (done.code, "lock.json is missing" in done.err) == (1, True)
    assert (damaged / "checkpoint.npz").exists()


def commands(folder: Path, other: Path, photos: Path) -> Iterator[tuple[object, ...]]:
    """All commands that read a run."""
    image, out = photos / "along" / "0.png", folder / "out"
    yield ("card", folder, "--out", out / "card.md")
    yield ("diff", folder, other)
    yield ("compare", other, folder)
    yield ("predict", folder, image)
    yield ("evaluate", folder, photos)
    yield ("explain", folder, image, "--out", out)
    yield ("report", folder, "--out", out / "report.html")
    yield ("resume", folder)
    yield ("export", folder, "--to", "keras", "--out", out / "keras")
    yield ("reproduce", folder, "--out", out / "again")


@pytest.mark.slow
@pytest.mark.parametrize(("damaged", "name"), PLACES, indirect=["damaged"])
def test_no_command_ends_in_a_traceback(
    surgeon: Surgeon, damaged: Path, name: str, finished: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command meets another damage of each file."""
    monkeypatch.chdir(damaged.parent)
    whole, dice = damaged.with_name("whole"), random.Random(name)
    damaged.rename(whole)
    contents = list(damages((whole / name).read_bytes(), flips=10))
    for arguments in commands(damaged, finished, photos):
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(whole, damaged)
        (damaged / "out").mkdir()
        put(damaged / name, dice.choice(contents))
        done = surgeon(*arguments)
        assert done.code in (0, 1, 2), arguments
        assert "Traceback" not in done.err
