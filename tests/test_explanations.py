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
    """Tells whether the left or the right half of an image is the brighter one, by maps of 8 x 8."""
    random = np.random.default_rng(0)
    image = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(4, 5, strides=4, padding="same", activation="relu")(image)
    flat = keras.layers.Flatten()(maps)
    network = keras.Model(image, keras.layers.Dense(2, activation="softmax")(flat))
    network.compile("adam", "sparse_categorical_crossentropy")
    images, labels = zip(*(bright_half(random, at % 2) for at in range(256)), strict=True)
    network.fit(np.stack(images), np.array(labels), epochs=20, verbose=0)
    assert network.evaluate(np.stack(images), np.array(labels), verbose=0) < 0.1
    return network


def bright_half(random: np.random.Generator, side: int) -> tuple[Any, int]:
    pixels = random.uniform(0, 0.3, (32, 32, 3)).astype(np.float32)
    pixels[:, 16 * side : 16 * side + 16] += 0.7
    return pixels, side


def build(method: str, network: Any) -> Any:
    if method == "grad-cam":
        return build_grad_cam(network)
    return build_occlusion(lambda pixels: np.asarray(network(pixels, training=False)))


@pytest.mark.parametrize("side", [0, 1])
def test_grad_cam_points_at_what_decides(network: Any, side: int) -> None:
    pixels, _ = bright_half(np.random.default_rng(1), side)
    heat = build("grad-cam", network)(pixels, side)
    assert heat.shape == (8, 8)
    assert (heat.min(), heat.max()) >= (0, 0.99)
    bright, dark = heat[:, 4 * side : 4 * side + 4].mean(), heat[:, 4 - 4 * side : 8 - 4 * side].mean()
    assert bright > 3 * dark


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_an_explanation_changes_when_the_head_is_randomised(network: Any, method: str) -> None:
    """The sanity check of Adebayo et al. 2018: one that did not change would not explain the network."""
    pixels, side = bright_half(np.random.default_rng(2), 0)
    if method == "occlusion":
        pixels = pixels * 127  # what covers is grey from 0 to 255
    before = build(method, network)(pixels, side)
    weights = network.layers[-1].get_weights()
    random = np.random.default_rng(3)
    network.layers[-1].set_weights([random.normal(0, weight.std() + 0.1, weight.shape) for weight in weights])
    try:
        after = build(method, network)(pixels, side)
    finally:
        network.layers[-1].set_weights(weights)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] < 0.8
    np.testing.assert_array_equal(build(method, network)(pixels, side), before)


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
    unknown = surgeon("explain", tmp_path / "run", image, "--class", "alogn")
    assert (unknown.code, "did you mean 'along'?" in unknown.err) == (2, True)
