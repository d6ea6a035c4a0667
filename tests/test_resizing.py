"""What becomes of pictures of another shape than the network takes: the same in every place, to the bit."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from surgeon.catalogue.resizings import RESIZINGS
from surgeon.data.images import fit_image, undo_fit
from surgeon.networks.decoding import resize
from surgeon.recipe.compiler import compile_recipe
from surgeon.resizing import INTERPOLATIONS, Box, Resizing
from surgeon.resizing import RULES as RULES_KNOWN
from surgeon.search.shared import backbone_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Outcome

    Surgeon = Callable[..., Outcome]

RULES = (("squash", 1.0), ("crop", 1.0), ("crop", 0.875), ("pad", 1.0))


@pytest.mark.parametrize(
    ("rule", "scale", "picture", "taken", "covered"),
    [
        ("squash", 1.0, (60, 80), Box(0, 0, 60, 80), Box(0, 0, 32, 32)),
        ("crop", 1.0, (60, 80), Box(0, 10, 60, 60), Box(0, 0, 32, 32)),
        ("crop", 0.875, (64, 64), Box(4, 4, 56, 56), Box(0, 0, 32, 32)),
        ("crop", 1.0, (1, 1000), Box(0, 499, 1, 1), Box(0, 0, 32, 32)),
        ("pad", 1.0, (60, 80), Box(0, 0, 60, 80), Box(4, 0, 24, 32)),
        ("pad", 1.0, (1000, 1), Box(0, 0, 1000, 1), Box(0, 15, 32, 1)),
    ],
)
def test_the_middle_is_taken_or_covered(
    rule: str, scale: float, picture: tuple[int, int], taken: Box, covered: Box
) -> None:
    resizing = Resizing((32, 32), rule, scale)
    assert (resizing.taken(picture), resizing.covered(picture)) == (taken, covered)


def test_a_crop_of_the_right_size_is_that_part() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 60, 3), np.uint8)
    for interpolation in INTERPOLATIONS:
        found = fit_image(Image.fromarray(pixels), Resizing((32, 32), "crop", interpolation=interpolation))
        np.testing.assert_array_equal(found, pixels[:, 14:46])


def test_a_padded_picture_lies_in_black() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(1, 256, (30, 60, 3), np.uint8))
    found = fit_image(image, Resizing((32, 32), "pad"))
    assert not found[:8].any()
    assert not found[24:].any()
    np.testing.assert_array_equal(found[8:24], fit_image(image, Resizing((16, 32))))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_graph_resizes_as_pillow_does_to_the_bit(interpolation: str) -> None:
    random = np.random.default_rng(0)
    for rule, scale in RULES:
        for picture in ((70, 90), (33, 8), (1, 300), (64, 64)):
            for size in ((64, 64), (40, 96)):
                pixels = (random.integers(0, 256) < random.integers(0, 256, (*picture, 3))) * np.uint8(255)
                resizing = Resizing(size, rule, scale, interpolation)
                expected = fit_image(Image.fromarray(pixels), resizing)
                np.testing.assert_array_equal(resize(tf.constant(pixels), resizing), expected, err_msg=str(resizing))


def test_an_explanation_has_the_shape_of_what_was_seen() -> None:
    image = Image.new("RGB", (80, 60), "white")
    for rule, size in (("squash", (80, 60)), ("crop", (60, 60)), ("pad", (80, 60))):
        resizing = Resizing((32, 32), rule)
        undone = undo_fit(Image.fromarray(fit_image(image, resizing)), resizing, (60, 80))
        assert undone.size == size
        assert np.asarray(undone).min() > 200, rule  # nothing of the black


@pytest.fixture
def wide(tmp_path: Path, photos: Path) -> Path:
    """Pictures twice as wide as high, of which the middle tells the class."""
    random = np.random.default_rng(0)
    for file in photos.glob("*/*.png"):
        pixels = random.integers(0, 256, (48, 96, 3), np.uint8)
        pixels[:, 24:72] = np.asarray(Image.open(file))
        target = tmp_path / "wide" / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target)
    return tmp_path / "wide"


@pytest.fixture
def recipe(tiny: Path, wide: Path, tiny_and_small: None) -> Path:
    """A recipe on them."""
    tiny.write_text(tiny.read_text().replace("source: {folder:", f"source: {{folder: '{wide}'}} #"))
    return tiny


def figures(surgeon: Surgeon, recipe: Path, out: Path, *settings: str) -> list[float]:
    """Returns the loss of a run after each epoch."""
    options = [option for setting in settings for option in ("--set", setting)]
    done = surgeon("run", recipe, "--out", out, *options)
    assert done.code == 0, done.err
    result = json.loads((out / "result.json").read_text())
    return [loss for phase in result["phases"] for loss in phase["history"]["loss"]]


def told_of(surgeon: Surgeon, run: Path, folder: Path) -> list[float]:
    """Returns the probability of one class for each image of a folder."""
    lines = surgeon("predict", run, folder, "--format", "jsonl").out.splitlines()
    return [row["probabilities"][row["classes"].index("along")] for row in map(json.loads, lines)]


CROP = ("data.resize={crop: 0.875}", "data.interpolation=bicubic")


def test_the_middle_is_what_the_network_sees(tmp_path: Path, recipe: Path, wide: Path, surgeon: Surgeon) -> None:
    figures(surgeon, recipe, tmp_path / "run", *CROP)
    bundle = json.loads((tmp_path / "run" / "bundle.json").read_text())
    assert (bundle["resize"], bundle["scale"], bundle["interpolation"]) == ("crop", 0.875, "bicubic")
    again = tmp_path / "again"
    again.mkdir()
    for file in (wide / "along").iterdir():
        pixels = np.array(Image.open(file))
        pixels[:, :20] = pixels[:, -20:] = 0  # far from what is seen
        Image.fromarray(pixels).save(again / file.name)
    told = told_of(surgeon, tmp_path / "run", wide / "along")
    assert len(set(told)) == 12
    assert told == told_of(surgeon, tmp_path / "run", again)


@pytest.mark.slow
def test_all_that_looks_at_images_resizes_them_alike(tmp_path: Path, recipe: Path, surgeon: Surgeon) -> None:
    run = tmp_path / "run"
    losses = figures(surgeon, recipe, run, *CROP)
    assert losses == pytest.approx(figures(surgeon, recipe, tmp_path / "off", *CROP, "features=off"), abs=1e-6)
    assert losses != pytest.approx(figures(surgeon, recipe, tmp_path / "squashed"), abs=1e-3)
    for form in ("keras", "savedmodel"):
        done = surgeon("export", run, "--to", form, "--format", "json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["largest_difference"] < 1e-5
        exported = json.loads((run / "export" / form / "bundle.json").read_text())
        assert exported["input"] == {"name": "pixels", "dtype": "float32", "shape": [None, 32, 32, 3]}
        assert (exported["resize"], exported["scale"]) == ("crop", 0.875)


def test_a_sweep_keeps_apart_what_is_resized_otherwise(recipe: Path) -> None:
    plans = [
        compile_recipe(recipe, settings)
        for settings in ((), ("data.resize=pad",), ("data.resize={crop: 0.9}",), ("data.interpolation=lanczos",))
    ]
    assert len({backbone_key(plan) for plan in plans}) == len({plan.data.resizing for plan in plans}) == 4


@pytest.mark.slow
def test_trials_that_resize_differently_come_to_what_each_comes_to_alone(
    tmp_path: Path, recipe: Path, surgeon: Surgeon
) -> None:
    vary = "sweep={vary: {data.resize: [squash, pad]}, method: grid, objective: val_loss}"
    done = surgeon("sweep", recipe, "--set", vary, "--out", tmp_path / "sweep", "--format", "json")
    assert done.code == 0, done.err
    trials = json.loads(done.out)["trials"]
    assert [trial["values"] for trial in trials] == [{"data.resize": "squash"}, {"data.resize": "pad"}]
    for trial in trials:
        out = tmp_path / trial["values"]["data.resize"]
        figures(surgeon, recipe, out, f"data.resize={out.name}")
        alone = json.loads((out / "result.json").read_text())["phases"][-1]["history"]["val_loss"][-1]
        assert trial["objective"] == pytest.approx(alone, rel=1e-4)


def test_an_old_bundle_squashes(tmp_path: Path, finished_run: Path, photos: Path, surgeon: Surgeon) -> None:
    old = tmp_path / "old"
    shutil.copytree(finished_run, old)
    record = json.loads((old / "bundle.json").read_text())
    for key in ("resize", "scale", "interpolation", "input"):
        del record[key]
    (old / "bundle.json").write_text(json.dumps({**record, "bundle": 1}))
    assert told_of(surgeon, old, photos / "along") == told_of(surgeon, finished_run, photos / "along")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("data.resize=corp", "did you mean 'crop'?"),
        ("data.resize={crop: 1.5}", "expected at most 1"),
        ("data.resize={crop: 0}", "expected more than 0"),
        ("data.resize={pad: {scale: 0.5}}", "scale"),
        ("data.interpolation=bicubik", "did you mean 'bicubic'?"),
    ],
)
def test_what_is_written_wrongly_is_said(recipe: Path, surgeon: Surgeon, setting: str, said: str) -> None:
    done = surgeon("validate", recipe, "--set", setting)
    assert done.code == 2
    assert said in done.out


@pytest.mark.parametrize(
    ("rule", "said"), [("squash", "squeezed more than 2.5 times"), ("crop", "cut to less than"), ("pad", "black")]
)
def test_a_check_says_what_becomes_of_an_odd_shape(
    tmp_path: Path, recipe: Path, wide: Path, surgeon: Surgeon, rule: str, said: str
) -> None:
    Image.new("RGB", (300, 90), "red").save(wide / "along" / "long.png")
    done = surgeon("check", recipe, "--set", f"data.resize={rule}", "--format", "json")
    (found,) = [finding for finding in json.loads(done.out)["findings"] if finding["kind"] == "aspect"]
    assert said in found["message"]


def test_what_recipes_may_name_is_what_can_be_done() -> None:
    assert tuple(RESIZINGS) == RULES_KNOWN
