"""A moving average of the weights (``use_ema``): measured, kept and ended with; test_resume.py stops such runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

Surgeon = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("tiny_and_small", "without_pictures")

AVERAGE = "{sgd: {use_ema: true, ema_momentum: 0.9}}"
UNTIL = "until: {monitor: val_loss, patience: 9}"


def phases(optimizer: str, *more: str) -> str:
    described = ", ".join(["trainable: head", f"optimizer: {optimizer}", "lr: 0.5", "epochs: 3", *more])
    return f"phases=[{{{described}}}]"


def train(surgeon: Surgeon, recipe: Path, out: Path, chosen: str) -> Any:
    done = surgeon("run", recipe, "--out", out, "--quiet", "--set", "deterministic=true", "--set", chosen)
    assert done.code == 0, done.err
    return kernel(out)


def kernel(out: Path) -> Any:
    return np.asarray(keras.saving.load_model(out / "network.keras", compile=False).get_layer("head_dense").kernel)


def losses(out: Path) -> list[float]:
    record = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return list(record["phases"][0]["history"]["val_loss"])


@pytest.mark.slow
def test_the_average_is_what_is_measured_and_restored(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    """The average after the best epoch is the average with which a phase ends that has no more epochs."""
    best = train(surgeon, tiny, tmp_path / "best", phases(AVERAGE, UNTIL))
    measured = losses(tmp_path / "best")
    epochs = int(np.argmin(measured)) + 1
    ended = train(surgeon, tiny, tmp_path / "ended", phases(AVERAGE).replace("epochs: 3", f"epochs: {epochs}"))
    assert np.array_equal(best, ended)
    assert losses(tmp_path / "ended") == measured[:epochs]
    raw = train(surgeon, tiny, tmp_path / "raw", phases("sgd", UNTIL))
    assert not np.array_equal(best, raw)
    assert losses(tmp_path / "raw") != measured
