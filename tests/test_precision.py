"""Computing in bfloat16 on weights that are float32 throughout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import slow_but

from surgeon.catalogue.backbones import BACKBONES
from surgeon.model.precision import computing_in
from surgeon.model.surgery import build_network, part_of
from surgeon.planning import processor
from surgeon.planning.processor import bfloat16_note, bfloat16_support, cpu_flags
from surgeon.recipe.compiler import compile_recipe
from surgeon.training import phase as phases
from surgeon.training.runner import run


def build_network_with_everything() -> keras.Model:
    """Models within models, layers within layers, an operation that is no layer, a layer with a policy of its own."""
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3), name="image")
    inner_image = keras.Input((16, 16, 3))
    maps = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="inner_conv")(inner_image)
    inner = keras.Model(inner_image, keras.layers.BatchNormalization(name="inner_norm")(maps), name="inner")
    maps = inner(keras.layers.Rescaling(1 / 255, name="rescaling")(image))
    maps = maps + keras.Sequential([keras.layers.Conv2D(8, 1), keras.layers.ReLU()], name="chain")(maps)
    tokens = keras.layers.Reshape((64, 8), name="tokens")(maps)
    tokens = keras.layers.MultiHeadAttention(2, 4, name="attention")(tokens, tokens)
    tokens = keras.layers.LayerNormalization(name="norm")(tokens)
    pooled = keras.layers.GlobalAveragePooling1D(dtype="float64", name="own")(tokens)
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(pooled)
    logits = keras.layers.Dense(3, name="logits")(hidden)
    return keras.Model(image, keras.layers.Softmax(name="softmax")(logits), name="network")


def policies(model: keras.Model) -> dict[str, str]:
    return {layer.path or layer.name: layer.dtype_policy.name for layer in model._flatten_layers(include_self=False)}


def compute(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(tf.function(lambda values: model(values, training=False))(pixels))


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


PIXELS = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)


def test_layers_compute_in_bfloat16_within_the_context_only(tmp_path: Path) -> None:
    network = build_network_with_everything()
    before, config, expected = policies(network), network.to_json(), compute(network, PIXELS)
    with computing_in(network, "bfloat16"):
        changed = {path for path, policy in policies(network).items() if policy == "mixed_bfloat16"}
        inside = compute(network, PIXELS)
        hidden = compute(part_of(network, (), ["hidden"]), PIXELS)
    assert before.keys() - changed == {
        path for path in before if path.split("/")[-1].startswith(("image", "input_layer", "own", "logits", "softmax"))
    }
    assert (inside.dtype, hidden.dtype) == (np.float32, tf.bfloat16.as_numpy_dtype)
    assert 0 < difference(inside, expected) < 0.02
    assert policies(network) == before
    assert network.to_json() == config
    np.testing.assert_array_equal(compute(network, PIXELS), expected)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert "mixed_bfloat16" not in policies(loaded).values()
    np.testing.assert_array_equal(compute(loaded, PIXELS), expected)


def test_an_error_within_restores_the_layers() -> None:
    network = build_network_with_everything()
    before = policies(network)
    with pytest.raises(RuntimeError), computing_in(network, "bfloat16"):
        raise RuntimeError
    assert policies(network) == before


def test_float32_changes_nothing_and_a_whole_part_ends_in_bfloat16() -> None:
    network = build_network_with_everything()
    before = policies(network)
    with computing_in(network, "float32"):
        assert policies(network) == before
    with computing_in(part_of(network, (), ["hidden"]), "bfloat16", whole=True):
        assert network.get_layer("hidden").compute_dtype == "bfloat16"


# Others are made of the same layers: each kind of convolution, activation and normalization is in one of these.
NETWORKS = ("vgg16", "densenet121", "mobilenetv3small", "efficientnetv2b0", "efficientnetlite0", "convnexttiny")


@pytest.mark.parametrize("name", slow_but((), NETWORKS))
def test_every_network_trains_with_float32_gradients_and_states(name: str) -> None:
    keras.utils.set_random_seed(1)
    spec = BACKBONES[name]
    size = max(32, spec.min_image_size)
    backbone = spec.build((size, size, 3), False)
    # The deepest networks repeat their blocks after so many layers.
    maps = [layer.output for layer in backbone.layers[:200] if len(layer.output.shape) == 4]
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(maps[-1]))
    network = keras.Model(backbone.input, outputs)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(network.trainable_variables)
    values = np.random.default_rng(0).normal(0, 1, (4, size, size, 3)).astype(np.float32)

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            probabilities = network(values, training=True)
            loss = keras.losses.SparseCategoricalCrossentropy()(np.array([0, 1, 0, 1]), probabilities)
        gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss, probabilities, gradients

    with computing_in(network, "bfloat16"):
        loss, probabilities, gradients = step()
    assert {tensor.dtype for tensor in (loss, probabilities, *gradients)} == {tf.float32}
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    floats = [*optimizer.variables, *network.variables]
    assert {str(variable.dtype) for variable in floats} <= {"float32", "int64"}


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_and_small")
def test_a_run_in_bfloat16_trains_a_float32_network(
    tiny: Path, tmp_path: Path, finish: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizers = []
    build = phases.build_optimizer
    monkeypatch.setattr(phases, "build_optimizer", lambda *given: optimizers.append(build(*given)) or optimizers[-1])
    results = {}
    for precision in ("float32", "bfloat16"):
        plan = compile_recipe(tiny, [f"precision={precision}", "features=memory", "engine=tensorflow"])
        (tmp_path / precision).mkdir()
        results[precision], _ = finish(run(plan, tmp_path / precision))
    for exact, found in zip(results["float32"].phases, results["bfloat16"].phases, strict=True):
        np.testing.assert_allclose(found.history["loss"], exact.history["loss"], rtol=0.05)
        np.testing.assert_allclose(found.history["val_loss"], exact.history["val_loss"], rtol=0.05)
        assert found.history["loss"] != exact.history["loss"]
    assert {str(variable.dtype) for optimizer in optimizers for variable in optimizer.variables} == {"float32", "int64"}
    network = keras.saving.load_model(tmp_path / "bfloat16" / "network.keras")
    assert set(policies(network).values()) == {"float32"}
    trained = {layer for phase in plan.phases for layer in phase.trainable}
    for before, after in zip(build_network(plan).layers, network.layers, strict=True):
        for old, new in zip(before.weights, after.weights, strict=True):
            assert new.dtype == "float32"
            if before.name not in trained:
                np.testing.assert_array_equal(new.numpy(), old.numpy(), err_msg=new.path)


@pytest.mark.parametrize(
    ("cpuinfo", "support"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\n", True),
        ("flags\t\t: fpu amx_bf16\nflags\t\t: fpu\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("Features\t: fp asimd\n", False),
        ("processor\t: 0\ncpu\t\t: POWER9\n", None),
        (None, None),
    ],
)
def test_the_processor_says_whether_it_has_bfloat16(
    cpuinfo: str | None, support: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo, encoding="utf-8")
    flags = cpu_flags(file)
    monkeypatch.setattr(processor, "cpu_flags", lambda: flags)
    assert bfloat16_support() is support
    note = bfloat16_note()
    assert (note is None) == bool(support)
    assert note is None or "float32" in note
