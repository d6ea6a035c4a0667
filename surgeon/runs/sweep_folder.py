"""The files of a sweep: its recipe, a file for each trial that ended, and what it came to."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surgeon.errors import UsageError
from surgeon.recipe.text import dump_text
from surgeon.records import read_record
from surgeon.results.sweep import SWEEP_VERSION, SweepResult, Trial
from surgeon.runs.folder import new_folder, write_whole

BEST = "best.yaml"
PAGE = "report.html"
_SWEEPS = "sweeps"
_SWEEP, _RESULT, _TRIALS = "sweep.yaml", "sweep.json", "trials"
_MOST_BYTES = 1 << 28
_REMEDY = "restore it from a copy, or remove it: the trial is then repeated"


def new_sweep_folder(name: str) -> Path:
    """Makes the folder where a sweep goes if nobody says: ``sweeps/NAME-TIME``."""
    return new_folder(name, _SWEEPS)


def holds_sweep(folder: Path) -> bool:
    """Tells whether a folder holds a sweep, ended or not."""
    return (folder / _SWEEP).exists()


def latest_sweep(name: str) -> Path | None:
    """Returns the folder in ``sweeps/`` of the latest sweep of a recipe by its name; None if there is none."""
    named = re.compile(re.escape(name) + r"-\d{8}-\d{6}(-\d+)?")
    folders = [path.parent for path in Path(_SWEEPS).glob(f"*/{_SWEEP}") if named.fullmatch(path.parent.name)]
    return max(folders, key=lambda folder: (folder / _SWEEP).stat().st_mtime, default=None)


def begin_sweep(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Makes the folder of a sweep with its recipe, or makes sure that it is one of the same recipe.

    Raises:
        UsageError: If it holds something else.
    """
    path = folder / _SWEEP
    text = f"# surgeon sweep {_SWEEP}\n{dump_text(recipe)}"
    if path.exists():
        if path.read_text(encoding="utf-8") != text:
            raise UsageError(f"{folder} holds a sweep of another recipe", "give another folder (--out)")
        return
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty, and holds no sweep", "give another folder (--out)")
    (folder / _TRIALS).mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def has_trials(folder: Path) -> bool:
    """Tells whether a trial of a sweep has ended."""
    return any((folder / _TRIALS).glob("*.json"))


def sweep_recipe(folder: Path) -> Path:
    """Returns the recipe of a sweep.

    Raises:
        UsageError: If the folder holds none.
    """
    if not holds_sweep(folder):
        missing = f"there is no {_SWEEP} in it" if folder.is_dir() else "there is no such folder"
        raise UsageError(f"{folder} holds no sweep: {missing}", "give the folder that `surgeon sweep` printed")
    return folder / _SWEEP


@dataclasses.dataclass(frozen=True)
class _TrialFile:
    trial: Trial


@dataclasses.dataclass(frozen=True)
class _ResultFile:
    result: SweepResult


def write_trial(folder: Path, trial: Trial) -> None:
    """Writes the file of a trial that ended."""
    record = {"version": SWEEP_VERSION, "trial": dataclasses.asdict(trial)}
    write_whole(folder / _TRIALS / f"{trial.number:05}.json", json.dumps(record) + "\n")


def read_trials(folder: Path) -> list[Trial]:
    """Returns the trials that ended, by number.

    Raises:
        SurgeonError: If a file is damaged.
    """
    paths = sorted((folder / _TRIALS).glob("*.json"))
    return [read_record(path, _TrialFile, _MOST_BYTES, _REMEDY, SWEEP_VERSION).trial for path in paths]


def write_sweep(folder: Path, result: SweepResult) -> None:
    """Writes what a sweep came to, beside the trials, which have files of their own."""
    record = dataclasses.asdict(dataclasses.replace(result, trials=()))
    write_whole(folder / _RESULT, json.dumps({"version": SWEEP_VERSION, "result": record}, indent=2) + "\n")


def has_result(folder: Path) -> bool:
    """Tells whether there is something that a sweep has come to."""
    return (folder / _RESULT).exists()


def read_sweep(folder: Path) -> SweepResult:
    """Returns what a sweep came to, or has come to so far.

    Raises:
        UsageError: If the folder holds no sweep, or one of which no trial has ended.
        SurgeonError: If a file is damaged.
    """
    sweep_recipe(folder)
    if not has_result(folder):
        raise UsageError(f"no trial of {folder} has ended", f"`surgeon sweep {folder} --resume` continues it")
    result = read_record(folder / _RESULT, _ResultFile, _MOST_BYTES, _REMEDY, SWEEP_VERSION).result
    return dataclasses.replace(result, trials=tuple(read_trials(folder)))
