"""Images that are ``unknown``: how the bounds are set, and that a run, what is exported of it and the service agree."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import call, write_tiny
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from test_serve import ask, form, serving

from surgeon.evaluation.calibration import fit_temperature
from surgeon.evaluation.rejection import (
    choose_bounds,
    choose_known,
    distances,
    read_answers,
    unit,
)
from surgeon.model.answers import answer
from surgeon.recipe.bundle import Rejection, read_bundle
from surgeon.run import open_run

Surgeon = Callable[..., Any]

REJECTING = ("--set", "reject.accept=0.8")


@pytest.fixture(scope="module")
def rejecting(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A finished run that rejects images; tests only read it."""
    root = tmp_path_factory.mktemp("rejecting")
    assert call("run", write_tiny(root / "tiny.yaml", photos), "--out", root / "run", "--quiet", *REJECTING) == 0
    return root / "run"


@pytest.fixture
def doubtful(rejecting: Path, tmp_path: Path) -> Path:
    """The same run, after somebody has set a bound that no image keeps."""
    run = Path(shutil.copytree(rejecting, tmp_path / "doubtful"))
    record = json.loads((run / "bundle.json").read_text(encoding="utf-8"))
    record["rejection"] |= {"least_probability": 1.01, "largest_distance": 2.0}
    (run / "bundle.json").write_text(json.dumps(record), encoding="utf-8")
    return run


@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_bounds_accept_the_part_that_is_asked_for(images: int, accept: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    sure, distance = random.uniform(0.2, 1, images).round(2), random.uniform(0, 1, images).round(2)
    least, largest = choose_bounds(sure, distance, accept)
    accepted = (sure >= least) & (distance <= largest)
    assert accepted.mean() >= accept
    if accept == 1:
        assert accepted.all()


def test_bounds_leave_out_what_is_odd() -> None:
    sure, distance = np.full(100, 0.9), np.full(100, 0.1)
    sure[:3], distance[3:6] = 0.4, 0.8
    assert choose_bounds(sure, distance, 0.9) == pytest.approx((0.9, 0.1), rel=0.02)


def test_a_temperature_is_found_again_and_few_images_do_not_make_a_network_infallible() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 5)).astype(np.float32)
    labels = np.array([random.choice(5, p=row) for row in softmax(logits.astype(np.float64), axis=1)])
    assert fit_temperature(softmax(3 * logits, axis=1), labels) == pytest.approx(3, rel=0.05)
    right = np.array([[4.0, 0.0], [0.0, 4.0]], np.float32)[[0, 1] * 5]
    temperature = fit_temperature(softmax(right, axis=1), np.array([0, 1] * 5))
    assert softmax(right / temperature, axis=1).max() == pytest.approx(11 / 12, abs=1e-3)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=50), st.sampled_from([1_000_000, 500_000, 10_000_000]))
def test_known_images_are_of_all_classes(labels: list[int], width: int) -> None:
    chosen = choose_known(np.array(labels), width)
    counts = np.bincount(np.array(labels)[chosen], minlength=4)
    assert len(chosen) == min(len(labels), max(4_000_000 // width, 5 * len(set(labels))))
    every = np.bincount(labels, minlength=4)
    assert all(count == of or count >= counts.max() - 1 for count, of in zip(counts, every, strict=True))


def test_the_graph_answers_as_the_rule_says() -> None:
    """A network's last number says of each image what the bounds say of its probability and its distance."""
    random = np.random.default_rng(0)
    logits, features = random.normal(0, 2, (200, 4)).astype(np.float32), random.normal(0, 1, (200, 6))
    known = unit(random.normal(0, 1, (30, 6)).astype(np.float32))
    rejection = Rejection("dense", 1.7, 3, 0.6, 0.3)
    inputs = [keras.Input((4,)), keras.Input((6,))]
    graph = keras.Model(inputs, answer(*inputs, rejection, known, from_logits=True))
    answers = np.asarray(graph([logits, features.astype(np.float32)]))
    assert answers.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-5)

    probabilities, reasons = read_answers(answers, rejection)
    expected = softmax(logits / 1.7, axis=1)
    far = distances(features.astype(np.float32), known, 3)
    assert probabilities == pytest.approx(expected, abs=1e-5)
    assert set(reasons) == set(np.flatnonzero((expected.max(axis=1) < 0.6) | (far > 0.3)).tolist())
    for at, reason in reasons.items():
        unsure = 0.6 / expected[at].max() > far[at] / 0.3
        assert reason.startswith("unsure" if unsure else "unlike")
    times = re.search(r"images: ([\d.]+) times", reasons[int(far.argmax())])
    assert times is not None
    assert float(times[1]) == pytest.approx(far.max() / 0.3, abs=0.051)


@pytest.mark.parametrize("times", [0.5, 2, 33, 50, 150])
def test_answers_about_what_is_very_far_away_say_so(times: float) -> None:
    """However small the numbers of the classes become, they are the probabilities, divided by something."""
    known = np.array([[1, 0]], np.float32)
    rejection = Rejection("dense", 1.0, 1, 0.5, 0.01)
    inputs = [keras.Input((2,)), keras.Input((2,))]
    graph = keras.Model(inputs, answer(*inputs, rejection, known, from_logits=True))
    cosine = 1 - 0.01 * times
    features = np.array([[cosine, np.sqrt(1 - cosine**2)]], np.float32)
    probabilities, reasons = read_answers(np.asarray(graph([np.log([[0.95, 0.05]]), features])), rejection)
    assert probabilities == pytest.approx(np.array([[0.95, 0.05]]), abs=1e-4)
    if times > 1:
        said = re.fullmatch(r"unlike the training images: ([\d.]+) times as far from them as is accepted", reasons[0])
        assert said is not None
        assert float(said[1]) == pytest.approx(min(times, 100), rel=0.02)
    else:
        assert not reasons


def test_a_run_says_in_use_what_it_measured(rejecting: Path) -> None:
    run = open_run(rejecting)
    files = [run.plan.data.source.parameters["path"] + "/" + name for name in run.predictions["file"]]
    found = run.predict(files)
    written = [dict(zip(run.probabilities, row, strict=True)) for row in zip(*run.probabilities.values(), strict=True)]
    for prediction, row in zip(found, written, strict=True):
        assert dict(zip(prediction.classes, prediction.probabilities, strict=True)) == pytest.approx(row, abs=1e-5)
    accepted = run.result.acceptance
    assert accepted is not None
    assert sum(prediction.unknown is None for prediction in found) == accepted.accepted
    many = run.predict(files * 20)  # which another engine may compute
    assert [one.unknown is None for one in many] == [one.unknown is None for one in found] * 20
    assert many[0].probabilities == pytest.approx(found[0].probabilities, abs=1e-4)


def test_strangers_are_measured(
    surgeon: Surgeon, rejecting: Path, doubtful: Path, photos: Path, write_image: Callable[..., Path], tmp_path: Path
) -> None:
    """Images of classes that the network does not know are looked at, where it could reject them."""
    for number in range(5):
        write_image(tmp_path / "strangers" / "noise" / f"{number}.png", number)
    found = open_run(rejecting).evaluate(tmp_path / "strangers")
    assert found.evaluation is None
    assert found.acceptance is not None
    assert (found.acceptance.strangers, found.unknown) == (5, {"noise": 5})

    shutil.copytree(photos / "along", tmp_path / "strangers" / "along")
    told = surgeon("evaluate", doubtful, tmp_path / "strangers")
    assert told.code == 0, told.err
    assert "0 of 12 images of known classes are accepted (0.0%)" in told.out
    assert "5 of 5 images of other classes are rejected (100.0%)" in told.out


def test_what_is_unknown_is_printed_and_sorted(surgeon: Surgeon, doubtful: Path, photos: Path, tmp_path: Path) -> None:
    table = surgeon("predict", doubtful, photos / "along" / "0.png", "--out", tmp_path / "sorted")
    assert "unknown" in table.out
    assert "unsure" in table.out
    assert [file.name for file in (tmp_path / "sorted" / "unknown").iterdir()] == ["0.png"]
    rows = surgeon("predict", doubtful, photos / "along" / "0.png", "--format", "csv").out.splitlines()
    assert rows[0] == "file,class,probability,reason"
    assert re.fullmatch(r".*0\.png,unknown,,unsure: .*", rows[1].replace('"', ""))
    assert len(rows) == 2
    (line,) = surgeon("predict", doubtful, photos / "along" / "0.png", "--format", "jsonl").out.splitlines()
    assert json.loads(line)["unknown"].startswith("unsure")
    assert len(json.loads(line)["classes"]) == 2


@pytest.mark.parametrize(
    "name",
    ["keras", *(pytest.param(name, marks=pytest.mark.slow) for name in ("savedmodel", "litert", "onnx"))],
)
def test_exports_reject_what_the_run_rejects(name: str, doubtful: Path, rejecting: Path, photos: Path) -> None:
    file = photos / "along" / "0.png"
    for run in (doubtful, rejecting):
        out = doubtful.parent / f"{run.name}-{name}"
        assert open_run(run).export(name, out=out).changed_decisions == 0
        assert (out / "labels.txt").read_text(encoding="utf-8").split() == ["across", "along", "unknown"]
        assert read_bundle(out).rejection == read_bundle(run).rejection
    assert call("predict", doubtful.parent / f"{doubtful.name}-{name}", file, "--out", doubtful.parent / name) == 0
    assert (doubtful.parent / name / "unknown" / "0.png").exists()


HEADS = {
    "logits": "[global_average_pooling, dense: {units: classes}]",
    "flatten": "[flatten, dense: {units: 8, activation: relu}, dense: {units: classes, activation: softmax}]",
    "maps": "[dense: {units: classes}, global_average_pooling, {activation: softmax}]",
}


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("more", [(), ("precision=bfloat16",)])
def test_any_head_that_ends_in_a_dense_layer_rejects_and_can_be_handed_over(
    head: str, more: tuple[str, ...], surgeon: Surgeon, photos: Path, tmp_path: Path
) -> None:
    """Without test images it is compared on validation images, which set the bounds."""
    recipe = write_tiny(tmp_path / "tiny.yaml", photos)
    changes = [f"head={HEADS[head]}", "data.split={test: 0, validation: 0.5}", "reject.accept=1", *more]
    settings = [part for change in changes for part in ("--set", change)]
    done = surgeon("run", recipe, "--out", tmp_path / "run", "--quiet", *settings)
    assert done.code == 0, done.err
    found = open_run(tmp_path / "run").export("onnx")
    assert (found.split, found.changed_decisions) == ("validation", 0)


def test_a_head_without_a_dense_layer_cannot_reject(surgeon: Surgeon, tiny: Path) -> None:
    told = surgeon("validate", tiny, "--set", "head=[global_average_pooling, activation: softmax]", *REJECTING)
    assert "reject compares the inputs of the head's last dense layer" in told.out + told.err


@pytest.mark.slow
def test_the_service_says_unknown(doubtful: Path, photos: Path) -> None:
    content = (photos / "along" / "0.png").read_bytes()
    with serving("-m", "surgeon", "serve", doubtful, "--port", 0) as (address, _):
        status, told = ask(f"{address}/predict", form([("0.png", content)]))
        assert ask(f"{address}/explain", form([("0.png", content)], "file"))[0] == 200
    assert status == 200
    assert told["predictions"][0]["unknown"].startswith("unsure")
    assert {one["name"] for one in told["predictions"][0]["classes"]} == {"across", "along"}


def test_damage_is_told(surgeon: Surgeon, doubtful: Path, photos: Path) -> None:
    np.save(doubtful / "known.npy", np.zeros((1, 2), np.float32))
    told = surgeon("predict", doubtful, photos / "along" / "0.png")
    assert told.code == 1
    assert "known.npy is damaged" in told.err
    (doubtful / "known.npy").unlink()
    assert "known.npy is missing" in surgeon("predict", doubtful, photos / "along" / "0.png").err


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.slow
def test_bounds_are_the_same_without_the_store(surgeon: Surgeon, photos: Path, tmp_path: Path) -> None:
    recipe = write_tiny(tmp_path / "tiny.yaml", photos)
    bounds = []
    for features in ("memory", "off"):
        out = tmp_path / features
        done = surgeon("run", recipe, "--out", out, "--quiet", "--set", f"features={features}", *REJECTING)
        assert done.code == 0, done.err
        rejection = read_bundle(out).rejection
        assert rejection is not None
        bounds.append((rejection.temperature, rejection.least_probability, rejection.largest_distance))
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-3)


@pytest.mark.usefixtures("without_pictures")
def test_training_images_are_looked_at_as_they_are_where_changed_copies_are_trained_on(
    surgeon: Surgeon, photos: Path, tmp_path: Path
) -> None:
    """With kept views the unchanged training images need a place on the shelf, too."""
    recipe = write_tiny(tmp_path / "tiny.yaml", photos)
    views = ("--set", "augment={views: 2, flip: horizontal}", "--set", "phases[0].epochs=1")
    done = surgeon("run", recipe, "--out", tmp_path / "run", "--quiet", *views, *REJECTING)
    assert done.code == 0, done.err
    assert np.load(tmp_path / "run" / "known.npy").shape[0] == 12


def test_without_validation_images_there_are_no_bounds(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    told = surgeon("run", tiny, "--out", tmp_path / "run", *REJECTING, "--set", "data.split.validation=0")
    assert told.code == 2
    assert "reject sets its bounds by validation images" in told.err
