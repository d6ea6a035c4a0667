"""An explanation depends on the network, on its head too, and points at what decides."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from surgeon.inference import grad_cam
from surgeon.inference.explaining import build_explainer
from surgeon.inference.occlusion import build_occlusion
from surgeon.model.grad_cam import build_grad_cam
from surgeon.recipe.bundle import Bundle, write_bundle

Surgeon = Callable[..., Any]


@pytest.fixture(scope="module")
def network() -> Any:
    """Tells whether there is a red or a blue patch in an image, wherever it is, by maps of 8 x 8."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    image = keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(1 / 255)(image)
    maps = keras.layers.Conv2D(8, 5, strides=4, padding="same", activation="relu")(scaled)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    network = keras.Model(image, keras.layers.Dense(2, activation="softmax")(pooled))
    network.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    images, _ = zip(*(patched(random, at % 2) for at in range(256)), strict=True)
    labels = np.arange(256) % 2
    network.fit(np.stack(images), labels, epochs=40, verbose=0)
    assert network.evaluate(np.stack(images), labels, verbose=0) < 0.1
    return network


def patched(random: np.random.Generator, number: int) -> tuple[Any, tuple[slice, slice]]:
    """An image with a patch of 12 x 12, red for 0 and blue for 1, and where it is."""
    pixels = random.uniform(60, 100, (32, 32, 3)).astype(np.float32)
    top, left = 4 * random.integers(0, 6, 2)
    place = slice(top, top + 12), slice(left, left + 12)
    pixels[(*place, 2 * number)] = 250
    return pixels, place


def build(method: str, network: Any) -> Any:
    if method == "grad-cam":
        return build_grad_cam(network)
    return build_occlusion(lambda pixels: np.asarray(network(pixels, training=False)))


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
@pytest.mark.parametrize("number", [0, 1])
def test_an_explanation_points_at_what_decides(network: Any, method: str, number: int) -> None:
    pixels, (rows, columns) = patched(np.random.default_rng(1), number)
    heat = build(method, network)(pixels, number)
    assert heat.shape == (8, 8)
    assert heat.min() >= 0
    assert heat.max() == pytest.approx(1)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert rows.start <= 4 * row + 2 < rows.stop
    assert columns.start <= 4 * column + 2 < columns.stop


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_an_explanation_changes_when_the_head_is_randomised(network: Any, method: str) -> None:
    """The sanity check of Adebayo et al. 2018: one that did not change would not explain the network."""
    pixels, _ = patched(np.random.default_rng(2), 0)
    before = build(method, network)(pixels, 0)
    weights = network.layers[-1].get_weights()
    random = np.random.default_rng(3)
    network.layers[-1].set_weights([random.normal(0, 1, weight.shape) for weight in weights])
    try:
        after = build(method, network)(pixels, 0)
    finally:
        network.layers[-1].set_weights(weights)
    assert np.abs(before - after).max() > 0.3
    np.testing.assert_array_equal(build(method, network)(pixels, 0), before)


def test_a_network_without_maps_has_no_grad_cam() -> None:
    image = keras.Input((8, 8, 3))
    assert build_grad_cam(keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))) is None


def nested() -> Any:
    inner = keras.Input((16, 16, 3))
    base = keras.Model(inner, keras.layers.ReLU()(keras.layers.Conv2D(4, 3)(inner)), name="base")
    image = keras.Input((16, 16, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(base(image)))


def branches() -> Any:
    image = keras.Input((16, 16, 3))
    maps = keras.layers.Conv2D(4, 3)(image)
    deeper = keras.layers.Conv2D(4, 3)(maps)
    pooled = [keras.layers.GlobalAveragePooling2D(keepdims=True)(each) for each in (maps, deeper)]
    return keras.Model(image, keras.layers.Flatten()(keras.layers.Concatenate()(pooled)))


def shared() -> Any:
    image = keras.Input((16, 16, 3))
    layer = keras.layers.Conv2D(3, 3, padding="same")
    return keras.Model(image, keras.layers.GlobalMaxPooling2D()(layer(layer(image))))


@pytest.mark.parametrize(("build", "side"), [(nested, 14), (branches, 12), (shared, 16)])
def test_grad_cam_follows_a_graph_of_any_make(build: Callable[[], Any], side: int) -> None:
    heat = build_grad_cam(build())(np.random.default_rng(0).uniform(0, 1, (16, 16, 3)).astype(np.float32), 1)
    assert heat.shape == (side, side)
    assert np.isfinite(heat).all()


def test_a_network_that_grad_cam_cannot_follow_is_asked_by_occlusion(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may raise when it is built, raise when it is used, or give no numbers."""
    image = keras.Input((16, 16, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(image))
    keras.Model(image, keras.layers.Softmax()(pooled)).save(tmp_path / "model.keras")
    bundle = Bundle("b", ("a", "b"), (16, 16), "run", "model.keras", "none", False, "squash", 1.0, "bilinear", None)
    write_bundle(tmp_path, bundle)
    assert build_explainer(tmp_path, bundle, "grad-cam").method == "grad-cam"

    def fail(*_: Any) -> Any:
        raise ValueError("not connected")

    def no_number(*_: Any) -> Any:
        return np.full((4, 4), np.nan)

    for unfit in (fail, lambda _: fail, lambda _: no_number):
        monkeypatch.setattr(grad_cam, "build_grad_cam", unfit)
        explain = build_explainer(tmp_path, bundle, "grad-cam")
        assert explain.method == "occlusion"
        assert explain(np.zeros((16, 16, 3), np.uint8), 0).size == (16, 16)


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_explain_draws_a_picture_per_image(
    surgeon: Surgeon, finished_run: Path, photos: Path, tmp_path: Path, method: str
) -> None:
    image, out = photos / "along" / "1.png", tmp_path / "why"
    done = surgeon("explain", finished_run, image, "--class", "along", "--method", method, "--out", out)
    assert done.code == 0, done.err
    with Image.open(out / "1-along.png") as drawn, Image.open(image) as original:
        assert drawn.size == original.size
        assert np.abs(np.asarray(drawn.convert("RGB"), int) - np.asarray(original.convert("RGB"), int)).max() > 20
    assert surgeon("explain", finished_run, image, "--class", "along", "--out", out).code == 0
    assert {path.name for path in out.iterdir()} == {"1-along.png", "1-along-2.png"}
    unknown = surgeon("explain", finished_run, image, "--class", "alogn")
    assert (unknown.code, "did you mean 'along'?" in unknown.err) == (2, True)


def test_explain_takes_a_folder_and_goes_on_behind_a_damaged_image(
    surgeon: Surgeon, finished_run: Path, photos: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "new", tmp_path / "why"
    folder.mkdir()
    for name in ("a.png", "c.png"):
        shutil.copy(photos / "along" / "1.png", folder / name)
    (folder / "b.png").write_bytes(b"no image")
    done = surgeon("explain", finished_run, folder, "--class", "along", "--out", out)
    assert done.code == 1
    assert [line.split(":")[0] for line in done.out.splitlines()] == [str(folder / f"{name}.png") for name in "abc"]
    assert {path.name for path in out.iterdir()} == {"a-along.png", "c-along.png"}
