"""Averages of weights, moving (``use_ema``) and with where a phase began: measured, kept and ended with.

test_resume.py stops such runs.
"""

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


HALF = "average: {with: start, alpha: 0.5}"


def test_the_average_with_the_start_is_what_is_measured_and_ended_with(
    surgeon: Surgeon, tiny: Path, tmp_path: Path
) -> None:
    """A phase at no rate to speak of ends where it began, and what it trained is halfway to the other."""
    begun = train(surgeon, tiny, tmp_path / "begun", phases("sgd").replace("lr: 0.5", "lr: 1.0e-30"))
    trained = train(surgeon, tiny, tmp_path / "trained", phases("sgd"))
    half = train(surgeon, tiny, tmp_path / "half", phases("sgd", HALF))
    np.testing.assert_allclose(half, begun + 0.5 * (trained - begun), atol=1e-7)
    assert np.abs(trained - begun).max() > 0.01
    # The epochs were those of the other run, and each was measured as the phase would have ended.
    results = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("trained", "half"))
    one, other = (result["phases"][0] for result in results)
    assert one["history"]["loss"] == other["history"]["loss"]
    assert one["history"]["val_loss"] != other["history"]["val_loss"]


@pytest.mark.slow
def test_the_best_average_is_restored_and_can_be_told_from_the_shorthand(
    surgeon: Surgeon, tiny: Path, tmp_path: Path
) -> None:
    best = train(surgeon, tiny, tmp_path / "best", phases("sgd", HALF, UNTIL))
    measured = losses(tmp_path / "best")
    epochs = int(np.argmin(measured)) + 1
    bare = phases("sgd", "average: 0.5").replace("epochs: 3", f"epochs: {epochs}")
    assert np.array_equal(best, train(surgeon, tiny, tmp_path / "ended", bare))
    assert losses(tmp_path / "ended") == measured[:epochs]


@pytest.mark.parametrize(
    ("average", "said"),
    [
        ("1.5", "expected less than 1, found 1.5"),
        ("{alpha: 0}", "expected more than 0"),
        ("{with: begin}", "expected 'start', found 'begin'"),
        ("{beta: 0.5}", "unknown key 'beta'"),
    ],
)
def test_an_average_that_is_none_is_refused(surgeon: Surgeon, tiny: Path, average: str, said: str) -> None:
    done = surgeon("validate", tiny, "--set", f"phases[0].average={average}")
    assert done.code == 2
    assert said in done.out
