"""How a run begins: in a folder of its own, which is gone again if it cannot begin."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from surgeon.recipe.compiler import compile_recipe
from surgeon.runs.folder import new_folder

Surgeon = Callable[..., Any]


@pytest.mark.parametrize("fault", ["weights", "extra"])
def test_a_failed_start_leaves_nothing_in_the_way(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    weights = tmp_path / "no.weights.h5"
    weights.write_bytes(b"no weights")
    options = {"weights": ("--set", f"backbone.weights={weights}"), "extra": ("--log", "mlflow")}
    monkeypatch.setattr("surgeon.errors.find_spec", lambda module: None)
    out = tmp_path / "run"
    failed = surgeon("run", tiny, "--out", out, *options[fault])
    assert failed.code == 1
    assert "resume" not in failed.err
    assert not out.exists()


def test_runs_that_start_at_once_get_folders_of_their_own(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = compile_recipe(tiny)
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: new_folder(plan.name), range(32)))
    assert len(set(folders)) == 32
    assert all(folder.is_dir() for folder in folders)
