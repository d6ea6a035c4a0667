"""Every engine computes the same, in float32 to rounding and in bfloat16 to two per cent or so."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import FAMILIES, slow_but

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.errors import SurgeonError, install_hint
from surgeon.model import engine as engines
from surgeon.model.engine import Engine, build_engine, engines_for, narrow
from surgeon.model.pipeline import Pipeline, preprocess
from surgeon.model.prediction import build_predictor
from surgeon.planning.frontier import Frontier
from surgeon.recipe import validate as validation
from surgeon.recipe.compiler import compile_recipe, validate_recipe
from surgeon.training.runner import run

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
EVERY_ENGINE = ["tensorflow", pytest.param("openvino", marks=needs_openvino)]
IMAGE = Frontier((), frozenset(), 0, 0, 0)


def pictures(count: int, size: int) -> np.ndarray:
    """Smooth colours with some noise, as photographs have."""
    random = np.random.default_rng(0)
    coarse = random.uniform(0, 255, (count, 6, 6, 3))
    smooth = np.asarray(tf.image.resize(coarse, (size, size), "bicubic")) + random.uniform(-15, 15, (size, size, 3))
    return np.clip(smooth, 0, 255).astype(np.uint8)


def pipeline(preprocessing: str) -> Pipeline:
    return Pipeline(
        augment=lambda pixels, labels: (pixels, labels),
        view=lambda pixels, seed: pixels,
        prepare=lambda pixels: preprocess(pixels, PREPROCESSINGS[preprocessing]),
        change_features=None,
        variables=(),
    )


def engine(name: str, precision: str = "float32") -> Engine:
    return Engine(name, precision, "", "")


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


# Layers of a network at most: the deepest ones repeat their blocks, and take minutes.
DEPTH = 200


@pytest.mark.parametrize("network", slow_but((), FAMILIES))
def test_engines_agree(network: str) -> None:
    spec = BACKBONES[network]
    size = max(48, spec.min_image_size)
    keras.utils.set_random_seed(1)
    model = spec.build((size, size, 3), False)
    layers = model.layers[:DEPTH]
    kept = [layer.output for layer in layers[:: len(layers) // 12] if len(layer.output.shape) == 4]
    part = keras.Model(model.input, [*kept, layers[-1].output])
    assert len(part.outputs) > 10  # whose names are not in the order of the alphabet
    pixels, prepared = pictures(5, size), pipeline(spec.preprocessing)
    expected = [np.asarray(output) for output in build_predictor(part, IMAGE, prepared)((pixels,))]
    for name in ("tensorflow", *(["openvino"] if find_spec("openvino") else [])):
        for precision, tolerance in (("float32", 1e-5), ("bfloat16", 0.03)):
            compute = build_engine(part, prepared.prepare, engine(name, precision))
            found = compute((pixels,))
            assert [output.dtype for output in found] == [np.float32] * len(expected)
            assert max(map(difference, found, expected)) < tolerance, (name, precision)
            last = compute((pixels[:3],))
            assert [len(output) for output in last] == [3] * len(expected)
            fewer = [difference(output, whole[:3]) for output, whole in zip(last, expected, strict=True)]
            assert max(fewer) < tolerance, (name, precision)


@pytest.mark.parametrize("name", EVERY_ENGINE)
def test_one_output_is_a_list_too_and_stays_what_it_was(name: str) -> None:
    layer = keras.layers.Conv2D(4, 3)
    image = keras.Input((8, 8, 3))
    part = keras.Model(image, layer(image))
    compute = build_engine(part, pipeline("tf").prepare, engine(name))
    (before,) = compute((pictures(2, 8),))
    compute((pictures(4, 8)[2:],))
    (again,) = compute((pictures(2, 8),))
    np.testing.assert_array_equal(again, before)
    assert before.shape == (2, 6, 6, 4)


@needs_openvino
def test_a_layer_that_openvino_lacks_is_an_error() -> None:
    image = keras.Input((8, 8, 3))
    part = keras.Model(image, keras.ops.erfinv(image / 300))
    with pytest.raises(SurgeonError, match=r"OpenVINO cannot compute the frozen layers: .*Erfinv") as caught:
        build_engine(part, pipeline("none").prepare, engine("openvino"))
    assert caught.value.hint == "set engine: tensorflow"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether OpenVINO is installed, whatever is."""

    def installed(answer: bool) -> None:
        for module in (engines, validation):
            monkeypatch.setattr(module, "find_spec", lambda name: object() if answer else None)
        monkeypatch.setattr(engines.importlib.metadata, "version", lambda name: "2.0")

    return installed


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch, installed: Callable[[bool], None]) -> None:
    """A machine on which nothing speaks against OpenVINO."""
    installed(True)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(engines, "cpu_flags", lambda: frozenset({"avx2"}))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])


def test_a_named_engine_is_taken(tiny: Path, installed: Callable[[bool], None]) -> None:
    installed(True)
    for name, title in (("tensorflow", "TensorFlow"), ("openvino", "OpenVINO")):
        chosen = engines_for(compile_recipe(tiny, [f"engine={name}", "precision=bfloat16"]))[0]
        assert chosen == Engine(
            name, "bfloat16", "2.0", f"the frozen layers are computed in bfloat16 by {title} 2.0, as the recipe asks"
        )


@pytest.mark.usefixtures("fast")
def test_auto_takes_openvino_where_it_is_faster(tiny: Path) -> None:
    chosen = engines_for(compile_recipe(tiny))[0]
    assert chosen == Engine("openvino", "float32", "2.0", "the frozen layers are computed in float32 by OpenVINO 2.0")


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    ("module", "name", "answer", "reason"),
    [
        (engines, "find_spec", None, "OpenVINO is not installed"),
        (engines, "cpu_flags", frozenset({"avx"}), "OpenVINO is only faster on x86 processors with AVX2"),
        (platform, "machine", "aarch64", "OpenVINO is only faster on x86 processors with AVX2"),
        (tf.config, "list_physical_devices", ["a GPU"], "there is a GPU"),
    ],
)
def test_auto_takes_tensorflow_otherwise(
    module: Any, name: str, answer: Any, reason: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, lambda *arguments: answer)
    chosen = engines_for(compile_recipe(tiny))[0]
    assert (chosen.name, chosen.reason) == (
        "tensorflow",
        f"the frozen layers are computed in float32 by TensorFlow 2.0, since {reason}",
    )


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(("kind", "name"), [("ReLU", "openvino"), ("Softmax", "tensorflow")])
def test_auto_trusts_openvino_with_layers_of_the_catalogue(kind: str, name: str, tiny: Path, tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    maps = getattr(keras.layers, kind)(name="end")(keras.layers.Conv2D(4, 3)(image))
    keras.Model(image, maps).save(tmp_path / "own.keras")
    plan = compile_recipe(
        tiny,
        [
            f"backbone={{model: '{tmp_path / 'own.keras'}', preprocessing: tf, cut: end}}",
            "phases=[{trainable: head, lr: 0.1, epochs: 1}]",
        ],
    )
    chosen = engines_for(plan)[0]
    assert chosen.name == name
    assert name == "openvino" or chosen.reason.endswith("since OpenVINO is untested with Softmax layers")


def test_openvino_that_is_not_installed_is_a_diagnostic(tiny: Path, installed: Callable[[bool], None]) -> None:
    text = tiny.read_text(encoding="utf-8")
    tiny.write_text(f"{text}engine: openvino\n", encoding="utf-8")
    installed(False)
    (problem,) = validate_recipe(tiny)
    line = len(text.splitlines()) + 1
    assert str(problem) == (
        f"{tiny}:{line}:1: engine: OpenVINO is not installed; {install_hint('openvino')}, or engine: auto"
    )
    installed(True)
    assert validate_recipe(tiny) == ()


@needs_openvino
@pytest.mark.usefixtures("tiny_and_small")
def test_a_run_is_the_same_with_either_engine(tiny: Path, tmp_path: Path, finish: Callable[..., Any]) -> None:
    results = []
    for name in ("tensorflow", "openvino"):
        (tmp_path / name).mkdir()
        plan = compile_recipe(tiny, [f"engine={name}", "features=memory"])
        results.append(finish(run(plan, tmp_path / name))[0])
    for one, other in zip(*(result.phases for result in results), strict=True):
        for figure in one.history.keys() - {"seconds"}:
            np.testing.assert_allclose(one.history[figure], other.history[figure], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_features_are_narrowed(dtype: str) -> None:
    features = np.random.default_rng(0).normal(0, 100, (4, 5)).astype(np.float32)
    narrowed = narrow(features, dtype)
    assert narrowed.dtype.name == dtype
    np.testing.assert_allclose(narrowed.astype(np.float32), features, rtol=2**-8)


def test_features_out_of_range_are_not_kept_as_infinity() -> None:
    features = np.array([1, -70_123, np.inf, np.nan], np.float32)
    with pytest.raises(
        SurgeonError, match="-70,123, an output of the frozen layers, is out of the range of float16"
    ) as caught:
        narrow(features, "float16")
    assert "features_dtype: bfloat16" in str(caught.value.hint)
    assert np.isfinite(narrow(features[:2], "bfloat16").astype(np.float32)).all()
    np.testing.assert_array_equal(narrow(features[2:], "float16"), features[2:])
