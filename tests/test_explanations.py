"""An explanation depends on the network, on its head too, and points at what decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from surgeon.evaluation.explanations import build_grad_cam, build_occlusion

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


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_explain_draws_a_picture_an_image(
    surgeon: Surgeon, tiny: Path, photos: Path, tmp_path: Path, method: str
) -> None:
    assert surgeon("run", tiny, "--out", tmp_path / "run").code == 0
    image, out = photos / "along" / "1.png", tmp_path / "why"
    done = surgeon("explain", tmp_path / "run", image, "--class", "along", "--method", method, "--out", out)
    assert done.code == 0, done.err
    with Image.open(out / "1-along.png") as drawn, Image.open(image) as original:
        assert drawn.size == original.size
        assert np.abs(np.asarray(drawn.convert("RGB"), int) - np.asarray(original.convert("RGB"), int)).max() > 20
    assert surgeon("explain", tmp_path / "run", image, "--class", "along", "--out", out).code == 0
    assert {path.name for path in out.iterdir()} == {"1-along.png", "1-along-2.png"}
    unknown = surgeon("explain", tmp_path / "run", image, "--class", "alogn")
    assert (unknown.code, "did you mean 'along'?" in unknown.err) == (2, True)
