"""Every network of the catalogue: built, checked against its table, cut in the middle, re-headed, saved."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import slow_but

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.layer_table import load_table, tabulate
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.model.pipeline import preprocess
from surgeon.model.surgery import build_network, check_against_table
from surgeon.recipe.compiler import compile_recipe

QUICK = {"vgg16", "mobilenetv2", "efficientnetlite0"}
NAMES = slow_but(QUICK, BACKBONES)

RECIPE = """\
recipe: 1
data: {{source: digits, image_size: [{height}, {width}]}}
backbone: {{name: {name}, weights: none, cut: {cut}}}
head: [global_average_pooling, dropout: 0.1, dense: {{units: classes, activation: softmax}}]
phases: [{{trainable: head, lr: 0.001, epochs: 1}}]
"""


@pytest.mark.parametrize("name", NAMES)
def test_network_is_its_table(name: str) -> None:
    spec = BACKBONES[name]
    # Sizes of either parity that none of the tables was made with, height and width apart.
    size = (spec.min_image_size + 23, spec.min_image_size + 12)
    table = load_table(name, size)
    keras.utils.clear_session()
    check_against_table(spec.build((*size, 3), False), table, until=table.top - 1)


@pytest.mark.parametrize("name", NAMES)
def test_cut_in_the_middle_and_reheaded(name: str, tmp_path: Path) -> None:
    spec = BACKBONES[name]
    height, width = spec.min_image_size + 1, spec.min_image_size + 8
    rows = load_table(name, (height, width)).rows
    cut = next(row for row in rows[len(rows) // 2 :] if len(row.shape) == 3 and row.shape[0] > 1)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(name=name, height=height, width=width, cut=cut.name))
    plan = compile_recipe(recipe)
    network = build_network(plan)

    built = tabulate(network).rows
    assert [row.name for row in built] == [row.name for row in plan.network.rows]
    assert [(row.shape, row.trainable, row.fixed) for row in built] == [
        (row.shape, row.trainable, row.fixed) for row in plan.network.rows
    ]
    pixels = np.random.default_rng(0).uniform(0, 255, (2, height, width, 3)).astype(np.float32)
    outputs = network(preprocess(pixels, PREPROCESSINGS[spec.preprocessing])).numpy()
    assert outputs.shape == (2, 10)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "name", slow_but(["vgg16"], ["vgg16", "mobilenetv3small", "convnexttiny", "efficientnetlite0"])
)
def test_network_survives_its_file(name: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    cut = load_table(name, (64, 64)).top - 1
    recipe.write_text(RECIPE.format(name=name, height=64, width=64, cut=cut))
    network = build_network(compile_recipe(recipe))
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(network(images).numpy(), loaded(images).numpy())


@pytest.mark.slow
def test_residual_sum_belongs_to_the_layer_before_it(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        RECIPE.format(name="convnexttiny", height=64, width=64, cut="convnext_tiny_stage_3_block_2_identity")
    )
    network = build_network(compile_recipe(recipe))
    whole = BACKBONES["convnexttiny"].build((64, 64, 3), False)
    whole.set_weights([*network.get_weights()[:-2], *whole.get_weights()[-2:]])
    before_norm = keras.Model(whole.input, whole.layers[-1].input)
    cut = keras.Model(network.input, network.get_layer("head_global_average_pooling").input)
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(before_norm(images).numpy(), cut(images).numpy())


@pytest.mark.parametrize("name", [name for name, spec in BACKBONES.items() if spec.group != "EfficientNet-Lite"])
def test_preprocessing_is_that_of_keras(name: str) -> None:
    function = next(getattr(keras.applications, known) for known in dir(keras.applications) if known.lower() == name)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 5, 3)).astype(np.float32)
    expected = sys.modules[function.__module__].preprocess_input(pixels.copy())
    found = preprocess(pixels, PREPROCESSINGS[BACKBONES[name].preprocessing])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_efficientnet_weights_make_keras_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras' EfficientNet has another layer with ImageNet weights than without; ours gives the same answers."""
    keras.utils.clear_session()
    donor = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(224, 224, 3))
    donor.get_layer("normalization").set_weights(
        [np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225]) ** 2, np.int32(0)]
    )
    file = tmp_path / "efficientnetb0_notop.weights.h5"
    donor.save_weights(file)
    module = sys.modules[keras.applications.EfficientNetB0.__module__]
    monkeypatch.setattr(module.file_utils, "get_file", lambda *args, **kwargs: str(file))
    theirs = keras.applications.EfficientNetB0(weights="imagenet", include_top=False)
    spec = BACKBONES["efficientnetb0"]
    images = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
    expected = theirs(images).numpy()
    assert not np.allclose(donor(images).numpy(), expected, rtol=1e-2)
    for mirrored in (None, file):
        ours = spec.build((224, 224, 3), False)
        spec.imagenet(ours, False, mirrored)
        np.testing.assert_allclose(ours(images).numpy(), expected, rtol=1e-3, atol=1e-7)
