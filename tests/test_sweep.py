"""``surgeon sweep``, by the real command on small networks: its trials are runs, and nothing loses them."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from surgeon.errors import SurgeonError
from surgeon.recipe.document import parse_document, read_document
from surgeon.recipe.space import seconds_of
from surgeon.recipe.sweep import open_sweep, own_values
from surgeon.results.sweep import SweepResult, Trial
from surgeon.runs.sweep_folder import read_sweep, read_trials

Surgeon = Callable[..., Any]

HEAD = [
    "global_average_pooling",
    {"dense": {"units": 8, "activation": "relu"}},
    {"dropout": 0.2},
    {"dense": {"units": "classes", "activation": "softmax"}},
]


@pytest.fixture
def swept(tiny: Path, tiny_and_small: None) -> Callable[..., Path]:
    """Writes the tiny recipe on the small network, with a head of two layers, a sweep and other changes."""

    def write(vary: Any, changes: Mapping[str, Any] | None = None, **settings: Any) -> Path:
        recipe = yaml.safe_load(tiny.read_text(encoding="utf-8"))
        recipe |= {"head": HEAD, **(changes or {}), "sweep": {"vary": vary, **settings}}
        tiny.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
        return tiny

    return write


def figures(trials: Any) -> dict[int, Any]:
    """What trials came to, without what the clock says."""
    return {
        trial.number: (
            trial.values,
            trial.state,
            trial.objective,
            [{**phase.history, "seconds": None} for phase in trial.phases],
        )
        for trial in trials
    }


RATES = {"phases[1].lr": [0.01, 0.001], "phases[1].trainable": ["head", "all"]}
VARIED = {
    "phases[1].lr": {"log_uniform": [1e-5, 1e-1]},
    "head[1].dense.units": [4, 8],
    "phases[1].trainable": ["head", "block2a_dwconv.."],
}


@pytest.mark.slow
def test_a_grid_tries_every_combination_and_its_trials_are_runs(
    surgeon: Surgeon, swept: Callable[..., Path], tmp_path: Path, without_pictures: None
) -> None:
    import surgeon as package

    recipe, folder = swept(RATES, method="grid"), tmp_path / "sweep"
    outcome = surgeon("sweep", recipe, "--out", folder, "--format", "json")
    assert outcome.code == 0, outcome.err
    found = read_sweep(folder)
    assert [trial.state for trial in found.trials] == ["finished"] * 4
    assert len({json.dumps(trial.values) for trial in found.trials}) == 4
    assert len({json.dumps(trial.recipe) for trial in found.trials}) == 4
    assert found.best is not None
    assert found.best.objective == max(trial.objective for trial in found.trials if trial.objective is not None)
    assert json.loads(outcome.out)["trials"][0]["values"] == found.trials[0].values
    together = {trial.values["phases[1].trainable"]: trial.together for trial in found.trials}
    assert together == {"head": 2, "all": 1}  # convolutions are trained alone
    for trial in found.trials[1:3]:
        alone = package.load_recipe(recipe, trial.values)
        run = package.train(alone, tmp_path / f"alone-{trial.number}")
        for phase, expected in zip(trial.phases, run.result.phases, strict=True):
            assert phase.history.keys() == expected.history.keys()
            for name in phase.history.keys() - {"seconds"}:
                np.testing.assert_allclose(phase.history[name], expected.history[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_best_recipe_is_a_file_that_runs_and_the_test_images_are_measured_once(
    surgeon: Surgeon, swept: Callable[..., Path], tmp_path: Path, without_pictures: None
) -> None:
    recipe = swept({"phases[0].lr": [0.03, 1e-6], "head[1].dense.units": [32]}, method="grid")
    folder = tmp_path / "sweep"
    assert surgeon("sweep", recipe, "--out", folder, "--final", 2, "--quiet", "--chart", tmp_path / "a.png").code == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    found = read_sweep(folder)
    assert found.best is not None
    assert found.best.values["phases[0].lr"] == 0.03
    assert found.final is not None
    assert len(found.final.runs) == 2
    measured = [
        json.loads((folder / run / "result.json").read_text())["evaluation"]["accuracy"] for run in found.final.runs
    ]
    assert list(found.final.figures["accuracy"].values) == measured
    assert found.final.figures["accuracy"].mean == pytest.approx(np.mean(measured))
    assert surgeon("sweep", folder, "--resume", "--quiet").code == 0
    again = read_sweep(folder)
    assert (again.final, again.images, again.standard_error) == (found.final, found.images, found.standard_error)
    other = tmp_path / "other.yaml"
    other.write_text(recipe.read_text(encoding="utf-8").replace("1.0e-06", "1.0e-05"), encoding="utf-8")
    assert "add --resume to go on with the sweep in it" in surgeon("sweep", folder, "--final", 3).err.replace("\n", " ")
    refused = surgeon("sweep", other, "--resume", "--out", folder)
    assert (refused.code, "holds a sweep of another recipe" in refused.err.replace("\n", " ")) == (2, True)
    page = folder / "report.html"
    assert f"{found.final.figures['accuracy'].mean:.4f}" in page.read_text(encoding="utf-8")
    page.unlink()
    assert surgeon("report", folder).code == 0
    assert page.exists()
    text = (folder / "best.yaml").read_text(encoding="utf-8")
    assert "sweep" not in yaml.safe_load(text)
    assert surgeon("validate", folder / "best.yaml").code == 0
    assert surgeon("sweep", folder / "best.yaml").code == 2  # it has no sweep


@pytest.mark.slow
def test_a_sweep_is_not_lost_with_its_page(
    swept: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import surgeon as package

    recipe, notes = swept({"phases[0].lr": [0.01, 0.1]}, method="grid"), list[object]()
    package.sweep(recipe, tmp_path / "sweep")
    monkeypatch.setattr("surgeon.publishing.sweep.render_sweep", None)
    found = package.sweep(recipe, tmp_path / "sweep", on_event=notes.append)
    assert found.best is not None
    assert any("no report.html" in str(note) for note in notes)
    assert not (tmp_path / "sweep" / "report.html").exists()  # that of before would be stale


@pytest.mark.slow
def test_a_finite_space_ends_once_nothing_new_comes_up(swept: Callable[..., Path], tmp_path: Path) -> None:
    import surgeon as package

    found = package.sweep(swept({"phases[0].lr": [0.01, 0.1]}, budget="1 h", method="random"), tmp_path / "sweep")
    states = [trial.state for trial in found.trials]
    assert states.count("finished") == 2
    assert states.count("duplicate") == len(states) - 2
    assert found.stopped == ""


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_the_first_trial_is_the_recipe_itself(swept: Callable[..., Path], tmp_path: Path, method: str) -> None:
    import surgeon as package

    recipe = swept(VARIED, trials=2, method=method)
    found = package.sweep(recipe, tmp_path / "sweep")
    first, second = found.trials
    assert found.own == 1
    assert first.values == {"phases[1].lr": 0.01, "head[1].dense.units": 8, "phases[1].trainable": "block2a_dwconv.."}
    assert second.values != first.values


@pytest.mark.parametrize(
    ("vary", "own"),
    [
        (VARIED, [(0.01, 8, "block2a_dwconv..")]),
        ({**VARIED, "head[1].dense.units": {"int_uniform": [2, 8]}}, [(0.01, 8, "block2a_dwconv..")]),
        ({**VARIED, "phases[1].lr": {"log_uniform": [2e-2, 1e-1]}}, [None]),
        ({**VARIED, "phases[1].lr": [0.1, 0.001]}, [None]),
        ({"phases[1].lr.cosine.peak": {"log_uniform": [1e-5, 1e-1]}}, [None]),
        ([{"phases[1].lr": [0.1]}, {"phases[1].lr": [0.1, 0.01]}], [None, (0.01,)]),
    ],
)
def test_values_of_the_recipe_itself(swept: Callable[..., Path], vary: Any, own: list[Any]) -> None:
    searched = open_sweep(read_document(swept(vary, trials=2)))
    assert [own_values(searched, space) for space in searched.spaces] == own


@pytest.mark.slow
def test_the_same_work_is_done_once(swept: Callable[..., Path], tmp_path: Path) -> None:
    import surgeon as package
    from surgeon.results.events import FeaturesKept, PhaseStarted

    recipe = swept(
        {
            "phases[1].trainable": ["block2a_project_conv..", "block2a_dwconv.."],
            "backbone.cut": ["block2a_project_bn", 9],
        },
        method="grid",
    )
    events: list[Any] = []
    found = package.sweep(recipe, tmp_path / "sweep", on_event=events.append)
    kept = [event for event in events if isinstance(event, FeaturesKept)]
    assert len(kept) == 1  # one pass for all frontiers of all trials
    assert [event.phase for event in events if isinstance(event, PhaseStarted)] == ["warm-up", "fine-tune", "fine-tune"]
    assert [trial.state for trial in found.trials].count("duplicate") == 2  # 9 is block2a_project_bn
    assert {trial.objective for trial in found.trials if trial.state == "duplicate"} <= {
        trial.objective for trial in found.trials if trial.state == "finished"
    }


@pytest.mark.slow
def test_what_fails_is_recorded_and_the_rest_goes_on(
    surgeon: Surgeon, swept: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    from surgeon.search import trials

    def build(plan: Any) -> Any:
        if plan.phases[1].epochs == 2:
            raise tf.errors.ResourceExhaustedError(None, None, "no room for a tensor")
        return built(plan)

    built = trials.build_network
    monkeypatch.setattr(trials, "build_network", build)
    mine = yaml.safe_load((swept({"phases[0].lr": [0.01]}, method="grid")).read_text())["backbone"]
    vary = [
        {"phases[1].lr": [0.01, 1e15], "backbone": [mine]},
        {"phases[1].epochs": [2]},
        {"phases[1].lr": [{"cosine": {"peak": 0.01, "warmup_epochs": 0.99}}]},
        {"backbone": [{"name": "vgg16", "weights": str(tmp_path / "no.weights.h5")}]},
    ]
    (tmp_path / "no.weights.h5").write_bytes(b"these are no weights")
    phases = [{"trainable": "head", "lr": 0.01, "epochs": 1}, {"trainable": "all", "lr": 0.01, "epochs": 1}]
    recipe = swept(vary, {"phases": phases}, method="grid")
    outcome = surgeon("sweep", recipe, "--out", tmp_path / "sweep")
    assert outcome.code == 0, outcome.err
    found = read_sweep(tmp_path / "sweep")
    reasons = {json.dumps(trial.values): (trial.state, trial.reason) for trial in found.trials}
    assert [state for state, _ in reasons.values()] == ["finished", "failed", "failed", "failed", "failed"]
    _, diverged, memory, pace, weights = (reason for _, reason in reasons.values())
    assert "loss is" in diverged or "not a finite number" in diverged
    assert "out of memory: no room for a tensor" in memory
    assert "the peak is never reached" in pace
    assert "no.weights.h5" in weights
    assert "Traceback" not in outcome.err


def test_nothing_is_left_of_a_sweep_that_cannot_begin(
    surgeon: Surgeon, swept: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = swept({"phases[0].lr": [0.01, 0.1]}, trials=2, method="random", folds=50)
    outcome = surgeon("sweep", recipe, "--out", tmp_path / "sweep")
    assert outcome.code == 1
    assert "50 folds need 50 different images of each class; 'across' has 9" in outcome.err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_folds_are_a_mean_over_parts(swept: Callable[..., Path], tmp_path: Path) -> None:
    import surgeon as package

    found = package.sweep(swept({"phases[0].lr": [0.01, 0.1]}, method="grid", folds=3), tmp_path / "sweep")
    assert found.folds == 3
    assert found.images == 18  # of 24, six are for the test
    for trial in found.trials:
        assert len(trial.folds) == 3
        assert trial.objective == pytest.approx(np.mean(trial.folds))
        right = [part * 6 for part in trial.folds]  # of six images in each part
        np.testing.assert_allclose(right, np.round(right), atol=1e-6)


@pytest.mark.slow
def test_a_budget_ends_what_is_trained(swept: Callable[..., Path], tmp_path: Path) -> None:
    import surgeon as package

    phases = [{"trainable": "head", "lr": 0.01, "epochs": 1}, {"trainable": "all", "lr": 0.01, "epochs": 100_000}]
    recipe = swept({"phases[1].lr": [0.01, 0.02]}, {"phases": phases}, budget="20 s", method="random")
    began = time.perf_counter()
    with pytest.raises(SurgeonError, match="no trial finished: the budget of 20 s was spent"):
        package.sweep(recipe, tmp_path / "sweep")
    assert time.perf_counter() - began < 60
    (trial,) = (one for one in read_trials(tmp_path / "sweep") if one.state != "duplicate")
    assert (trial.state, trial.reason) == ("pruned", "the budget was spent")
    assert trial.objective is not None


@pytest.mark.slow
@pytest.mark.parametrize("pruning", ["median", "hyperband"])
def test_hopeless_trials_are_pruned(swept: Callable[..., Path], tmp_path: Path, pruning: str) -> None:
    import surgeon as package

    rates = [0.05, 0.04, 0.03, 0.02, 0.01, 0.012, 0.025, 0.035, 0.045, 0.015, 30.0, 40.0]
    phases = [{"trainable": "head", "lr": 0.01, "epochs": 9}]
    recipe = swept({"phases[0].lr": rates}, {"phases": phases}, objective="val_loss", method="grid", pruning=pruning)
    found = package.sweep(recipe, tmp_path / "sweep")
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert f"hopeless after epoch {trial.phases[0].epochs} of its last phase ({pruning})" in trial.reason
        assert trial.phases[0].epochs < 9
    if pruning == "median":
        assert {trial.values["phases[0].lr"] for trial in pruned} >= {30.0, 40.0}
    assert found.best is not None
    assert found.best.phases[0].epochs == 9
    # What was ended leaves the others as they are.
    whole = package.sweep(swept({"phases[0].lr": rates[:1]}, {"phases": phases}, method="grid"), tmp_path / "alone")
    together = next(trial for trial in found.trials if trial.values["phases[0].lr"] == rates[0])
    epochs = together.phases[0].epochs
    for name, values in whole.trials[0].phases[0].history.items():
        if name != "seconds":
            np.testing.assert_allclose(together.phases[0].history[name], values[:epochs], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_sweep_that_ended_goes_on_with_nothing(surgeon: Surgeon, swept: Callable[..., Path], tmp_path: Path) -> None:
    recipe = swept({"phases[0].lr": {"log_uniform": [1e-4, 1e-1]}}, trials=3, method="tpe")
    assert surgeon("sweep", recipe, "--out", tmp_path / "sweep", "--quiet").code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "sweep" / "trials").iterdir()}
    assert len(before) == 3
    assert surgeon("sweep", tmp_path / "sweep", "--resume", "--quiet").code == 0
    assert surgeon("sweep", recipe, "--resume", "--out", tmp_path / "sweep", "--quiet").code == 0
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "sweep" / "trials").iterdir()}
    other = swept({"phases[0].lr": [0.1, 0.2]}, trials=3)
    outcome = surgeon("sweep", other, "--out", tmp_path / "sweep")
    assert outcome.code == 2
    assert "holds a sweep of another recipe" in outcome.err


@pytest.mark.slow
def test_kills_change_nothing(surgeon: Surgeon, swept: Callable[..., Path], tmp_path: Path) -> None:
    """SIGKILL at random moments of real processes."""
    rates = {"log_uniform": [1e-4, 1e-1]}
    vary = {"phases[1].lr": rates, "phases[1].trainable": ["head", "block2a_dwconv..", "block2a_project_conv.."]}
    phases = [
        {"trainable": "head", "lr": 0.01, "epochs": 2},
        {"trainable": "all", "lr": 0.01, "epochs": 3},
    ]
    recipe = swept(vary, {"phases": phases}, trials=8, method="random")
    assert surgeon("sweep", recipe, "--out", tmp_path / "whole", "--quiet").code == 0
    killed, moments = tmp_path / "killed", random.Random(0)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "surgeon", "sweep", recipe, "--out", killed, "--quiet"]
    finished: dict[int, Any] = {}
    for kill in range(4):
        process = subprocess.Popen(command, env=environment)
        known = len(read_trials(killed)) if killed.exists() else 0
        deadline = time.monotonic() + 60
        while kill % 2 and killed_trials(killed) <= known and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5) if kill % 2 else moments.uniform(0.5, 8))
        process.kill()
        process.wait()
        now = figures(read_trials(killed))
        assert {number: now[number] for number in finished} == finished  # what was finished is kept
        finished = now
    subprocess.run(command, env=environment, check=True)
    whole, resumed = read_sweep(tmp_path / "whole"), read_sweep(killed)
    assert len(resumed.trials) == 8
    same(whole, resumed)


def killed_trials(folder: Path) -> int:
    return len(list((folder / "trials").glob("*.json")))


def same(whole: SweepResult, resumed: SweepResult) -> None:
    for one, other in zip(whole.trials, resumed.trials, strict=True):
        assert one.values == other.values
        assert one.objective == pytest.approx(other.objective, abs=1e-6)
        for phase, again in zip(one.phases, other.phases, strict=True):
            np.testing.assert_allclose(phase.history["val_loss"], again.history["val_loss"], rtol=1e-4)
    assert whole.best is not None
    assert resumed.best is not None
    assert whole.best.number == resumed.best.number


@pytest.mark.slow
def test_many_trials_in_one_process_stay_within_the_memory(swept: Callable[..., Path], tmp_path: Path) -> None:
    """All but two dozen are trained together, those alone; what they need at a time is let go."""
    phases = [{"trainable": "head", "lr": 0.01, "epochs": 1}]
    heads = [["head"] * times for times in range(1, 5)]  # the same, spelled differently
    vary = {
        "phases[0].lr": {"log_uniform": [1e-4, 1e-1]},
        "phases[0].trainable": [*heads, "block2a_project_conv.."],
    }
    recipe = swept(vary, {"phases": phases}, trials=120, method="random")
    script = """
import psutil, surgeon, sys
from surgeon.results.events import TrialEnded

def watch(event):
    if isinstance(event, TrialEnded):
        print(event.trial.together, psutil.Process().memory_info().rss / 1e6)

surgeon.sweep(sys.argv[1], sys.argv[2], on_event=watch)
"""
    command = [sys.executable, "-c", script, recipe, tmp_path / "sweep"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    together, sizes = np.array([line.split() for line in said.splitlines()], float).T
    assert len(sizes) == 120
    alone = int((together == 1).sum())  # they come last
    assert 13 <= alone < 40
    growth, _ = np.polyfit(np.arange(alone - 4), sizes[4 - alone :], 1)
    assert growth < 1.5, f"{growth:.1f} MB for each trial that is trained alone"


@pytest.mark.slow
def test_a_head_that_misses_an_operation_is_trained_alone(swept: Callable[..., Path], tmp_path: Path) -> None:
    import keras

    import surgeon as package

    image = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Conv2D(8, 3, strides=2)(image))
    keras.Model(image, keras.layers.Dense(4, name="top")(pooled * 3.0 + 0.0)).save(tmp_path / "bare.keras")
    backbone = {"model": str(tmp_path / "bare.keras"), "preprocessing": "lite", "cut": "pool"}
    changes = {
        "backbone": backbone,
        "head": [{"dense": {"units": "classes", "activation": "softmax"}}],
        "phases": [{"trainable": "head", "lr": 0.01, "epochs": 3}],
    }
    recipe = swept({"phases[0].lr": [0.01, 0.1]}, changes, method="grid")
    found = package.sweep(recipe, tmp_path / "sweep")
    assert [trial.together for trial in found.trials] == [1, 1]


@pytest.mark.parametrize(
    ("text", "seconds"), [("20 min", 1200), ("90s", 90), ("1.5 h", 5400), ("0 s", None), ("soon", None), ("5", None)]
)
def test_durations(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_sizes(tiny: Path) -> None:
    text = tiny.read_text(encoding="utf-8")

    def opened(vary: str) -> Any:
        return open_sweep(parse_document(f"{text}sweep: {{trials: 5, vary: {vary}}}\n", tiny))

    assert opened("{seed: [1, 2], 'phases[0].lr': [0.1, 0.2, 0.3]}").size == 6
    assert opened("[{seed: [1, 2]}, {'phases[0].lr': [0.1, 0.2, 0.3]}]").size == 5
    assert opened("{'phases[0].lr': {uniform: [0.1, 0.2]}}").size is None


def test_ranks() -> None:
    def trial(number: int, objective: float | None, state: str = "finished") -> Trial:
        return Trial(number, {}, {}, state, objective)

    trials = (trial(1, 0.5), trial(2, 0.9), trial(3, 0.9), trial(4, 0.95, "pruned"), trial(5, None, "failed"))
    result = SweepResult("a", "val_accuracy", 100, 1, "tpe", "none", trials, {}, 1.0)
    assert [one.number for one in result.ranked] == [2, 3, 1]
    by_loss = dataclasses.replace(result, objective="val_loss")
    assert [one.number for one in by_loss.ranked] == [1, 2, 3]
    assert result.standard_error is not None
    assert 0.02 < result.standard_error < 0.04
    assert by_loss.standard_error is None
