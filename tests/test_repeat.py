"""The same recipe gives the same answer, and where it does not, the cause is named."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, slow_but, write_tiny
from PIL import Image

Surgeon = Callable[..., Any]

HEAD = "head=[global_average_pooling, dropout: 0.3, dense: {units: classes, activation: softmax}]"
ONE_PHASE = "phases=[{trainable: block2a_dwconv.., lr: 0.01, epochs: 2}]"


pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, photos: Path, small_network: Path) -> Path:
    """A deterministic recipe on images of its own."""
    root = tmp_path_factory.mktemp("repeat")
    recipe = write_tiny(root / "tiny.yaml", shutil.copytree(photos, root / "photos"), small_network)
    with recipe.open("a", encoding="utf-8") as text:
        text.write("deterministic: true\n")
    return recipe


@pytest.fixture(scope="module")
def ran(recipe: Path) -> Path:
    run = recipe.with_name("run")
    assert call("run", recipe, "--out", run, "--quiet", "--set", HEAD, "--set", ONE_PHASE, pictures=False) == 0
    return run


@pytest.fixture
def done(ran: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ran, tmp_path / "run"))


def reproduce(surgeon: Surgeon, run: Path, out: Path) -> tuple[int, dict[str, Any]]:
    done = surgeon("reproduce", run, "--out", out, "--format", "json")
    return done.code, json.loads(done.out)


@pytest.mark.parametrize("kept", slow_but((), ["auto", "off"]))
def test_the_same_machine_gives_the_same_bits(surgeon: Surgeon, recipe: Path, tmp_path: Path, kept: str) -> None:
    """From kept features and from pixels, with dropout and changes of images."""
    asked = [HEAD, ONE_PHASE, "augment={rotation: 0.1}", f"features={kept}"]
    sets = [part for override in asked for part in ("--set", override)]
    assert surgeon("run", recipe, "--out", tmp_path / "run", *sets).code == 0
    code, found = reproduce(surgeon, tmp_path / "run", tmp_path / "again")
    assert (code, found["differences"], found["causes"]) == (0, [], [])
    assert found["figures"] > 8
    again = surgeon("reproduce", tmp_path / "run", "--out", tmp_path / "third", "-q")
    assert again.err == ""
    assert f"all {found['figures']} figures match bit for bit" in again.out


def test_another_image_is_named(surgeon: Surgeon, recipe: Path, done: Path, tmp_path: Path) -> None:
    changed = recipe.parent / "photos" / "along" / "3.png"
    before = changed.read_bytes()
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(changed)
    code, found = reproduce(surgeon, done, tmp_path / "again")
    changed.write_bytes(before)
    assert code == 1
    assert "along/3.png" in {cause["name"] for cause in found["causes"] if cause["part"] == "images"}
    assert {cause["part"] for cause in found["causes"]} <= {"images", "splits"}
    assert "phase 1, weights" in {difference["name"] for difference in found["differences"]}


@pytest.mark.slow
def test_another_weight_is_named(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    """Backbone weights from a file of which one number is another."""
    import keras

    from surgeon.catalogue.backbones import BACKBONES

    network = BACKBONES["efficientnetlite0"].build((32, 32, 3), False)
    weights = tmp_path / "lite.weights.h5"
    network.save_weights(weights)
    sets = ["--set", f"backbone.weights={weights}", "--set", "deterministic=true", "--set", HEAD, "--set", ONE_PHASE]
    assert surgeon("run", tiny, "--out", tmp_path / "mine", *sets).code == 0
    kernel = network.get_layer("block1a_dwconv").weights[0]
    kernel.assign(keras.ops.multiply(kernel, np.where(np.arange(kernel.shape[2]) == 0, 2, 1)[:, None]))
    network.save_weights(weights)
    code, found = reproduce(surgeon, tmp_path / "mine", tmp_path / "again")
    assert code == 1
    assert [(cause["part"], cause["name"]) for cause in found["causes"]] == [("weights", f"{kernel.path}")]


def test_another_release_is_named(surgeon: Surgeon, done: Path, tmp_path: Path) -> None:
    """The figures are the same here, since it is only the lock that says so."""
    lock = json.loads((done / "lock.json").read_text(encoding="utf-8"))
    lock["versions"]["keras"] = "3.0.0"
    (done / "lock.json").write_text(json.dumps(lock), encoding="utf-8")
    code, found = reproduce(surgeon, done, tmp_path / "again")
    assert (code, found["differences"]) == (0, [])
    assert [(cause["part"], cause["name"], cause["before"]) for cause in found["causes"]] == [
        ("versions", "keras", "3.0.0")
    ]


def test_only_a_finished_run_is_reproduced(surgeon: Surgeon, done: Path) -> None:
    (done / "result.json").unlink()
    told = surgeon("reproduce", done)
    assert told.code == 2
    assert f"surgeon resume {done}" in told.err


@pytest.mark.slow
def test_repeat_tells_the_spread_of_seeds(surgeon: Surgeon, recipe: Path, tmp_path: Path) -> None:
    arguments = ("run", recipe, "--repeat", 3, "--out", tmp_path / "runs", "--set", HEAD, "--set", ONE_PHASE)
    found = json.loads(surgeon(*arguments, "--format", "json").out)
    results = [json.loads((Path(run) / "result.json").read_text(encoding="utf-8")) for run in found["runs"]]
    digests = {result["phases"][0]["audit"]["digest"] for result in results}
    assert len(digests) == 3
    accuracies = [result["evaluation"]["accuracy"] for result in results]
    figure = found["figures"]["network accuracy"]
    assert figure["values"] == accuracies
    assert figure["std"] == pytest.approx(statistics.stdev(accuracies))
    # What is there is not run again, and no other recipe takes its place.
    before = (tmp_path / "runs" / "seed-7" / "result.json").stat().st_mtime_ns
    printed = surgeon(*arguments, "-q")  # which keeps what was asked for
    assert printed.err == ""
    assert f"  accuracy: {{mean: {figure['mean']:.4f}, std: {figure['std']:.4f}}}" in printed.out
    assert (tmp_path / "runs" / "seed-7" / "result.json").stat().st_mtime_ns == before
    other = surgeon(*arguments, "--set", "data.batch_size=8")
    assert (other.code, "is a run of another recipe" in other.err) == (2, True)


def test_expected_figures_are_compared_with_their_spread(surgeon: Surgeon, recipe: Path, tmp_path: Path) -> None:
    # 6 images are right in whole sixths, so that no accuracy is what the author measured.
    expected = "expected={accuracy: {mean: 0.55, std: 0.1}, weighted_f1: 0.25}"
    ran = surgeon("run", recipe, "--out", tmp_path / "run", "--set", ONE_PHASE, "--set", expected)
    accuracy = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))["evaluation"]["accuracy"]
    side = "above" if accuracy > 0.55 else "below"
    off = abs(accuracy - 0.55)
    assert f"accuracy is {off:.4f} {side} the author's result, {off / 0.1:.1f} standard deviations" in ran.out
    assert "0.5500 ± 0.1000" in ran.out


def test_diff_of_recipes_and_of_runs(surgeon: Surgeon, recipe: Path, done: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(recipe.read_text(encoding="utf-8").replace("lr: 0.01", "lr: 0.02", 1), encoding="utf-8")
    found = json.loads(surgeon("diff", recipe, other, "--format", "json").out)
    by_name = {difference["name"]: (difference["before"], difference["after"]) for difference in found["asked"]}
    assert by_name == {"phases[0].lr.constant.value": (0.01, 0.02)}
    assert found["came_out"] == []
    sets = ["--set", HEAD, "--set", ONE_PHASE, "--set", "seed=8"]
    assert surgeon("run", recipe, "--out", tmp_path / "seeded", *sets).code == 0
    runs = json.loads(surgeon("diff", done, tmp_path / "seeded", "--format", "json").out)
    assert {(found["part"], found["name"]) for found in runs["asked"]} >= {
        ("recipe", "seed"),
        ("weights", "head_dense/kernel"),
    }
    assert "phase 1, loss" in {found["name"] for found in runs["came_out"]}
    assert "no difference" in surgeon("diff", done, done).out
    assert "seed" in surgeon("diff", done, tmp_path / "seeded").out
