"""Probabilities of an image and of its mirror image, averaged: the run, its exports and the service agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, slow_but, write_tiny
from numpy.typing import NDArray
from PIL import Image
from test_estimate import MACHINE, indexed
from test_export import require
from test_serve import ask, form, serving

from surgeon.catalogue.exporters import EXPORTERS
from surgeon.data.images import decode_image
from surgeon.inference import trained as trained_networks
from surgeon.planning.forecast import forecast_run
from surgeon.recipe.bundle import read_bundle
from surgeon.recipe.compiler import compile_recipe
from surgeon.run import Run, open_run

Surgeon = Callable[..., Any]

FLIP = ("--set", "test_time_augmentation=flip")


@pytest.fixture(scope="module")
def flipping(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A finished run that averages; tests only read it."""
    root = tmp_path_factory.mktemp("flipping")
    recipe = write_tiny(root / "tiny.yaml", photos)
    assert call("run", recipe, "--out", root / "run", "--quiet", *FLIP, pictures=False) == 0
    return root / "run"


@pytest.fixture(scope="module")
def expected(flipping: Path, photos: Path) -> NDArray[np.float64]:
    """What a run that does not average says of all photographs and of their mirror images, averaged by hand."""
    recipe, out = write_tiny(flipping.parent / "plain.yaml", photos), flipping.parent / "plain"
    assert call("run", recipe, "--out", out, "--quiet", pictures=False) == 0
    pictures = images(photos)
    plain, mirrored = (answers(open_run(out), some) for some in (pictures, [one[:, ::-1] for one in pictures]))
    assert np.abs(plain - mirrored).max() > 1e-3
    return (plain + mirrored) / 2


def images(photos: Path) -> list[NDArray[np.uint8]]:
    return [np.asarray(decode_image(file.read_bytes())) for file in sorted(photos.glob("*/*.png"))]


def answers(run: Run, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    found = [dict(zip(one.classes, one.probabilities, strict=True)) for one in run.predict(pictures)]
    return np.array([[one[name] for name in run.classes] for one in found])


@pytest.mark.parametrize("many", [1, 10_000])
def test_a_run_answers_with_the_mean(
    many: int, flipping: Path, expected: NDArray[np.float64], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few images and many go through functions of their own."""
    monkeypatch.setattr(trained_networks, "MANY", many)
    run = open_run(flipping)
    np.testing.assert_allclose(answers(run, images(photos)), expected, atol=1e-5)
    names = [file.relative_to(photos).as_posix() for file in sorted(photos.glob("*/*.png"))]
    tested = np.array([run.probabilities[name] for name in run.classes]).T
    np.testing.assert_allclose(
        tested, expected[[names.index(str(file)) for file in run.predictions["file"]]], atol=1e-4
    )


@pytest.mark.parametrize("name", slow_but({"keras", "onnx"}, EXPORTERS))
def test_exports_answer_with_the_mean(
    name: str, flipping: Path, expected: NDArray[np.float64], photos: Path, surgeon: Surgeon, tmp_path: Path
) -> None:
    require(name)
    exported = open_run(flipping).export(name, out=tmp_path / name)
    assert (exported.changed_decisions, exported.largest_difference < 1e-5) == (0, True)
    assert not read_bundle(tmp_path / name).flip  # the file does it
    found = surgeon("predict", tmp_path / name, photos, "--top", 2, "--format", "csv").out.splitlines()[1:]
    ordered = sorted(row.split(",")[:3] for row in found)  # by file and class
    np.testing.assert_allclose([float(part) for *_, part in ordered], expected.ravel(), atol=1e-5)


@pytest.mark.slow
def test_the_service_answers_with_the_mean(flipping: Path, expected: NDArray[np.float64], photos: Path) -> None:
    content = sorted(photos.glob("*/*.png"))[0].read_bytes()
    with serving("-m", "surgeon", "serve", flipping, "--port", 0) as (address, _):
        _, told = ask(f"{address}/predict", form([("0.png", content)]))
    found = {one["name"]: one["probability"] for one in told["predictions"][0]["classes"]}
    assert [found[name] for name in open_run(flipping).classes] == pytest.approx(expected[0], abs=1e-5)


@pytest.mark.slow
def test_the_store_changes_nothing(flipping: Path, surgeon: Surgeon, photos: Path, tmp_path: Path) -> None:
    recipe = write_tiny(tmp_path / "tiny.yaml", photos)
    done = surgeon("run", recipe, "--out", tmp_path / "off", "--quiet", *FLIP, "--set", "features=off")
    assert done.code == 0, done.err
    first, second = (open_run(folder) for folder in (flipping, tmp_path / "off"))
    for name in first.classes:
        np.testing.assert_allclose(first.probabilities[name], second.probabilities[name], atol=1e-5)


def test_an_image_and_its_mirror_image_get_the_same_answer(flipping: Path, photos: Path, tmp_path: Path) -> None:
    file = photos / "along" / "0.png"
    with Image.open(file) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    one, other = open_run(flipping).predict([file, tmp_path / "mirrored.png"])
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_it_is_priced(tiny: Path, finish: Callable[..., Any]) -> None:
    plan = compile_recipe(tiny)
    index, flipped = indexed(plan, finish), replace(plan, test_time_augmentation="flip")
    plain, doubled = (forecast_run(one, index, MACHINE).expected_seconds for one in (plan, flipped))
    assert doubled.evaluation > plain.evaluation
    assert doubled.passes == plain.passes
