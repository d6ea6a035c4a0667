"""A head that begins with the linear probe, and phases that do not end worse than they began."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from surgeon.recipe.plan import UntilPlan
from surgeon.training.stopping import best_epoch, ending_epoch, is_over

Surgeon = Callable[..., Any]

HEAD = ["global_average_pooling", {"dropout": 0.5}]
START = {"dense": {"units": "classes", "activation": "softmax", "kernel_initializer": "linear_probe"}}
HARMFUL = {"trainable": "head", "optimizer": "sgd", "lr": 1e4, "epochs": 9, "until": {"patience": 2}}


@pytest.fixture
def started(tiny: Path, tiny_and_small: None, without_pictures: None) -> Callable[..., Path]:
    """Writes the tiny recipe on the small network with a head that begins with the linear probe, and other changes."""

    def write(changes: Mapping[str, Any]) -> Path:
        recipe = yaml.safe_load(tiny.read_text(encoding="utf-8"))
        recipe |= {"head": [*HEAD, START], "evaluate": {"linear_probe": True}, **changes}
        tiny.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
        return tiny

    return write


def test_a_phase_that_does_not_help_leaves_the_linear_probe(
    surgeon: Surgeon, started: Callable[..., Path], tmp_path: Path
) -> None:
    ran = surgeon("run", started({"phases": [HARMFUL]}), "--out", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert "2 epochs in" in ran.err
    assert "ends with its initial weights, which were better (val_loss " in ran.err
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["evaluation"] == result["linear_probe"]
    (phase,) = result["phases"]
    assert phase["best_epoch"] == 0
    assert phase["start"]["val_loss"] < min(phase["history"]["val_loss"])
    assert phase["audit"]["trained_layers"] == 0


def test_what_a_phase_begins_with_is_its_epoch_0() -> None:
    until = UntilPlan(monitor="val_loss", patience=2, min_delta=0.1, restore_best=True)
    worse, better = {"val_loss": (1.0, 0.95)}, {"val_loss": (1.0, 0.8, 0.85)}
    assert best_epoch(until, {"val_loss": 1.0}, worse) == 0
    assert best_epoch(until, {"val_loss": 1.0}, better) == 2
    assert best_epoch(until, {}, worse) == 1
    assert ending_epoch(until, {"val_loss": 1.0}, worse) == 0
    last = UntilPlan(monitor="val_accuracy", patience=2, min_delta=0.0, restore_best=False)
    assert ending_epoch(last, {"val_accuracy": 0.9}, {"val_accuracy": (0.95, 0.8)}) == 0
    assert ending_epoch(last, {"val_accuracy": 0.9}, {"val_accuracy": (0.95, 0.9)}) is None
    assert ending_epoch(last, {}, {"val_accuracy": (0.95, 0.8)}) is None
    assert is_over(until, {"val_loss": 1.0}, worse)
    assert not is_over(until, {"val_loss": 1.0}, better)
    assert not is_over(until, {}, worse)


@pytest.mark.slow
def test_two_classes_of_three_start_as_the_probe_says(started: Callable[..., Path], write_image: Any) -> None:
    """A class without training images has no part in the probe; one logit stands for the two others."""
    import surgeon

    recipe = started({"phases": [{"trainable": "head", "optimizer": "sgd", "lr": 1e-4, "epochs": 1}]})
    values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    rows = [
        (f"{label}/{number}.png", label, "train" if number < 8 else "test")
        for label in ("across", "along")
        for number in range(12)
    ]
    photos = Path(values["data"]["source"]["folder"])
    table = recipe.with_name("images.csv")
    write_image(recipe.with_name("other.png"), 1)
    lines = [f"{photos / file},{label},{split}" for file, label, split in rows] + ["other.png,other,test"]
    table.write_text("path,label,split\n" + "\n".join(lines) + "\n", encoding="utf-8")
    values["data"] |= {"source": {"csv": {"path": str(table)}}, "split": {"test": 0, "validation": 0}}
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    run = surgeon.train(surgeon.load_recipe(recipe), recipe.with_name("run"))
    assert run.result.evaluation == run.result.linear_probe


@pytest.mark.slow
def test_trials_of_a_sweep_begin_as_their_runs_do(started: Callable[..., Path], tmp_path: Path) -> None:
    """Together and alone, with the probe and without, where training helps and where it does not."""
    import surgeon

    last = {"restore_best": False}
    phases = [{**HARMFUL, "epochs": 2, "until": last}, {"trainable": "all", "lr": 0.001, "epochs": 1, "until": {}}]
    vary = {"head[2].dense.kernel_initializer": ["linear_probe", "zeros"], "phases[0].lr": [1e4, 0.1]}
    views = {"views": 2, "flip": "horizontal"}  # the probe sees none of them
    recipe = started({"augment": views, "phases": phases, "sweep": {"vary": vary, "method": "grid"}})
    found = surgeon.sweep(recipe, tmp_path / "sweep")
    assert [trial.state for trial in found.trials] == ["finished"] * 4
    for trial in found.trials:
        run = surgeon.train(surgeon.load_recipe(recipe, trial.values), tmp_path / f"alone-{trial.number}")
        for phase, expected in zip(trial.phases, run.result.phases, strict=True):
            assert phase.best_epoch == expected.best_epoch
            assert phase.start == pytest.approx(expected.start, rel=1e-4, abs=1e-5)
            for name in phase.history.keys() - {"seconds"}:
                np.testing.assert_allclose(phase.history[name], expected.history[name], rtol=1e-4, atol=1e-5)
    ends = {(trial.phases[0].best_epoch, *trial.values.values()) for trial in found.trials}
    assert (0, "linear_probe", 1e4) in ends
    assert (None, "zeros", 0.1) in ends


@pytest.mark.slow
def test_other_searches_begin_with_the_probe(started: Callable[..., Path]) -> None:
    import surgeon

    warm_up = {**HARMFUL, "epochs": 2}
    recipe = started({"phases": [warm_up, {"trainable": "all", "lr": 1e-3, "optimizer": "sgd", "epochs": 1}]})
    plan = surgeon.load_recipe(recipe)
    run = surgeon.train(plan, recipe.with_name("run"))
    start = run.result.phases[0].start
    found = surgeon.depth(surgeon.load_recipe(recipe, {"phases": [plan.recipe["phases"][1]]}), epochs=1)
    assert found.depths[0].accuracy == pytest.approx(start["val_accuracy"])  # of the head, at a low rate
    heard: list[Any] = []
    surgeon.lr_range(plan, "phase 2", on_event=heard.append)
    assert next(event for event in heard if isinstance(event, surgeon.PhaseResult)).start == pytest.approx(start)
