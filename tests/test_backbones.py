"""Every network of the catalogue: held against its table, cut within a block, trained, shown, exported, reopened."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import FAMILIES, slow_but

import surgeon
from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.building import load_table
from surgeon.catalogue.layer_table import LayerRow, LayerTable, tabulate
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.data.images import load_image
from surgeon.model import surgery
from surgeon.model.pipeline import preprocess
from surgeon.model.surgery import build_network, check_against_table
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.plan import Plan
from surgeon.resizing import Resizing
from surgeon.training import runner

KEPT = 50  # layers at most: the time of a run follows from it

RECIPE = """\
recipe: 1
data: {{source: {source}, image_size: [{height}, {width}], split: {{test: 0.25, validation: 0}}, batch_size: 18}}
backbone: {{name: {name}, weights: none, cut: {cut}}}
head: [global_average_pooling, dropout: 0.1, dense: {{units: classes, activation: softmax}}]
phases: [{{trainable: [{start}.., head], lr: 0.001, epochs: 1}}]
"""


def cut_within(table: LayerTable) -> LayerRow:
    """Returns the layer nearest to two thirds of a network at which the cut goes through a branch or a block.

    That drops layers before it, where the network has such a place; else one that is kept feeds a layer that is not.
    """

    def fitness(row: LayerRow) -> tuple[bool, bool, int]:
        kept = table.ancestors(row.index)
        dropped = len(kept) <= row.index
        bypassed = any(set(other.inputs) & kept - {row.index} for other in table.rows if other.index not in kept)
        return dropped, bypassed, -abs(row.index - 2 * len(table.rows) // 3)

    maps = (row for row in table.rows[: table.top] if len(row.shape) == 3 and row.shape[0] > 1)
    return max((row for row in maps if len(table.ancestors(row.index)) <= KEPT), key=fitness)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("name", slow_but((), FAMILIES))
def test_cut_within_a_block_trained_shown_exported_and_reopened(
    name: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, networks = BACKBONES[name], list[Any]()
    # Sizes of either parity that none of the tables was made with, height and width apart.
    height, width = spec.min_image_size + 23, spec.min_image_size + 12
    table = load_table(BACKBONES[name], (height, width))
    cut = cut_within(table)
    kept = sorted(table.ancestors(cut.index))

    def build(plan: Plan) -> Any:
        """Builds the network of the run, which is as its plan has it."""
        network = build_network(plan)
        assert facts(tabulate(network).rows) == facts(plan.network.rows)
        networks.append(network)
        return network

    monkeypatch.setattr(runner, "build_network", build)
    monkeypatch.setattr(  # the whole network is its table, behind the cut too
        surgery, "check_against_table", lambda model, table, until: check_against_table(model, table, table.top - 1)
    )
    recipe = tmp_path / "recipe.yaml"
    source, start = f"{{folder: '{photos}'}}", table.rows[kept[-8]].name
    recipe.write_text(
        RECIPE.format(name=name, source=source, height=height, width=width, cut=cut.name, start=start), encoding="utf-8"
    )
    trained = surgeon.train(recipe, tmp_path / "trained")
    run = surgeon.open_run(trained.folder.rename(tmp_path / "moved"))

    (network,) = networks
    assert [layer.name for layer in network.layers[: len(kept)]] == [table.rows[index].name for index in kept]
    assert [phase.epochs for phase in run.result.phases] == [1]
    page = run.report().read_text(encoding="utf-8")
    assert [layer.name for layer in network.layers if layer.name not in page] == []
    assert run.export("keras").changed_decisions == 0

    files, told = run.predictions["file"], np.transpose(list(run.probabilities.values()))
    pixels = np.stack([load_image((photos / str(file)).read_bytes(), Resizing((height, width))) for file in files])
    own = network(preprocess(pixels, PREPROCESSINGS[spec.preprocessing]), training=False).numpy()
    exported = keras.saving.load_model(run.folder / "export" / "keras" / "model.keras")
    np.testing.assert_array_equal(exported(pixels).numpy(), own)
    np.testing.assert_allclose(told, own, atol=1e-5)
    np.testing.assert_allclose(told.sum(axis=1), 1, rtol=1e-5)


def facts(rows: Sequence[LayerRow]) -> list[tuple[object, ...]]:
    return [(row.name, row.shape, row.trainable, row.fixed) for row in rows]


@pytest.mark.slow
def test_residual_sum_belongs_to_the_layer_before_it(tmp_path: Path) -> None:
    recipe, last = tmp_path / "recipe.yaml", "convnext_tiny_stage_3_block_2_identity"
    recipe.write_text(
        RECIPE.format(name="convnexttiny", source="digits", height=64, width=64, cut=last, start=last), encoding="utf-8"
    )
    network = build_network(compile_recipe(recipe))
    whole = BACKBONES["convnexttiny"].build((64, 64, 3), False)
    whole.set_weights([*network.get_weights()[:-2], *whole.get_weights()[-2:]])
    before_norm = keras.Model(whole.input, whole.layers[-1].input)
    cut = keras.Model(network.input, network.get_layer("head_global_average_pooling").input)
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(before_norm(images).numpy(), cut(images).numpy())


KERAS_NETWORKS = {name.lower(): member for name, member in vars(keras.applications).items() if callable(member)}


@pytest.mark.parametrize("name", [name for name in BACKBONES.own if name in KERAS_NETWORKS])
def test_preprocessing_is_that_of_keras(name: str) -> None:
    function = KERAS_NETWORKS[name]
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
