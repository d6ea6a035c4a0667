"""``lock.json`` says what a run stood on."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from surgeon.model.surgery import build_network
from surgeon.recipe.compiler import compile_recipe
from surgeon.training.audit import variable_digests
from surgeon.training.runner import run


def test_lock_holds_recipe_images_splits_weights_and_versions(
    tiny: Path, photos: Path, tmp_path: Path, finish: Callable[..., Any]
) -> None:
    plan, folder = compile_recipe(tiny), tmp_path / "run"
    folder.mkdir()
    finish(run(plan, folder))
    lock = json.loads((folder / "lock.json").read_text(encoding="utf-8"))
    assert lock["recipe"] == plan.recipe
    assert lock["images"] == {
        path.relative_to(photos).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in photos.rglob("*.png")
    }
    with (folder / "splits.csv").open(encoding="utf-8") as splits:
        assert lock["splits"] == {row["file"]: row["split"] for row in csv.DictReader(splits)}
    assert lock["weights"] == variable_digests(build_network(plan))
    assert lock["weights"] != variable_digests(keras.saving.load_model(folder / "network.keras"))
    assert lock["versions"]["keras"] == keras.__version__
    assert lock["hardware"]["cores"] > 0
