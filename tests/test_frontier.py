"""Training behind the frontier gives what training the whole network gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import slow_but
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgeon.features import frozen as features
from surgeon.model.pipeline import build_pipeline
from surgeon.model.surgery import build_network
from surgeon.planning.frontier import find_frontier, frozen_prefix, upcoming_frontiers
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.plan import Plan
from surgeon.results.events import FeaturesKept, PhaseResult
from surgeon.results.forecast import Place
from surgeon.training.runner import run

pytestmark = pytest.mark.usefixtures("tiny_and_small")

RECIPES = Path(__file__).parent.parent / "recipes"


def frontiers(recipe: Path, *overrides: str) -> list[tuple[str, ...]]:
    plan = compile_recipe(recipe, overrides)
    return [find_frontier(plan.network, phase.trainable).layers for phase in plan.phases]


def test_frontiers_of_the_story() -> None:
    assert frontiers(RECIPES / "vgg16_flowers17.yaml") == [("head_flatten",), ("block4_pool",)]


def test_with_everything_trained_the_frontier_is_the_image() -> None:
    (frontier,) = frontiers(RECIPES / "vgg16_flowers17.yaml", "phases=[{trainable: all, lr: 0.1, epochs: 1}]")
    assert frontier == ()


def test_maps_larger_than_what_they_cost_are_not_kept() -> None:
    phase = "phases=[{trainable: block1_conv2.., lr: 0.1, epochs: 1}]"
    assert frontiers(RECIPES / "vgg16_flowers17.yaml", phase) == [()]


def test_skips_across_the_frontier_make_it_several_tensors() -> None:
    backbone = "backbone={name: densenet121, weights: none}"
    phase = "phases=[{trainable: conv5_block3_2_conv.., lr: 0.1, epochs: 1}]"
    (frontier,) = frontiers(RECIPES / "vgg16_flowers17.yaml", backbone, phase)
    assert len(frontier) > 1


def test_phases_that_keep_the_same_keep_it_once(tiny: Path) -> None:
    """The first repeats an expansion, which the second trains."""
    phases = ", ".join(
        f"{{trainable: {first}.., lr: 0.1, epochs: 1}}" for first in ("block_13_depthwise", "block_13_expand")
    )
    plan = compile_recipe(
        tiny, ["backbone={name: mobilenetv2, weights: none}", "data.image_size=224", f"phases=[{phases}]"]
    )
    assert find_frontier(plan.network, plan.phases[0].trainable).repeated > 0
    assert [frontier.layers for frontier in upcoming_frontiers(plan, 1)] == [("block_12_add",)]


def test_dropout_of_the_head_is_never_frozen(tiny: Path) -> None:
    head = "head=[global_average_pooling, dropout: 0.5, dense: classes]"
    plan = compile_recipe(tiny, [head, "phases=[{trainable: head, lr: 0.1, epochs: 1}]"])
    frozen = frozen_prefix(plan.network, plan.phases[0].trainable)
    assert "head_global_average_pooling" in frozen
    assert "head_dropout" not in frozen


@pytest.fixture
def train(tmp_path: Path, finish: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a recipe once; returns the phases and the weights that it ends with."""
    count = iter(range(1000))

    def train(recipe: Path, *overrides: str) -> tuple[tuple[PhaseResult, ...], dict[str, np.ndarray]]:
        plan = compile_recipe(recipe, overrides)
        folder = tmp_path / f"run {next(count)}"
        folder.mkdir()
        result, _ = finish(run(plan, folder))
        network = keras.saving.load_model(folder / "network.keras")
        return result.phases, {variable.path: variable.numpy() for variable in network.weights}

    return train


def assert_same(one: Any, other: Any) -> None:
    """The same losses and weights, but for the rounding of a graph that is compiled in other pieces."""
    (phases, weights), (expected_phases, expected_weights) = one, other
    for phase, expected in zip(phases, expected_phases, strict=True):
        for figure in expected.history.keys() - {"seconds"}:
            np.testing.assert_allclose(phase.history[figure], expected.history[figure], rtol=1e-3, atol=1e-5)
    assert weights.keys() == expected_weights.keys()
    for path, weight in weights.items():
        np.testing.assert_allclose(weight, expected_weights[path], rtol=1e-3, atol=1e-4, err_msg=path)


def initial_weights(plan: Plan) -> dict[str, np.ndarray]:
    return {variable.path: variable.numpy() for variable in build_network(plan).weights}


CASES = {  # a cut, since blocks repeat, and what two phases train
    "vgg16": ("block5_pool", "block5_conv1..", "block4_conv2"),
    "resnet50v2": ("conv3_block2_out", "conv3_block2_2_conv..", "conv3_block1_preact_bn.."),
    "densenet121": ("conv3_block2_concat", "conv3_block2_1_conv..", "[conv2_block6_2_conv, head]"),
    "inceptionv3": ("mixed1", "mixed0..", "conv2d_14.."),
    "efficientnetb0": ("block3b_add", "block3b_expand_conv..", "block2b_se_reduce.."),
    "efficientnetlite0": ("block3b_add", "block3b_expand_conv..", "block2b_dwconv.."),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_store_changes_nothing(name: str, tiny: Path, train: Callable[..., Any]) -> None:
    cut, *trained_in_phases = CASES[name]
    tuned = [f"{{trainable: {trainable}, optimizer: sgd, lr: 0.001, epochs: 2}}" for trainable in trained_in_phases]
    overrides = [
        f"data.image_size={75 if name == 'inceptionv3' else 48}",
        f"backbone={{name: {name}, weights: none, cut: {cut}}}",
        "head=[global_average_pooling, dropout: 0.2, dense: {units: classes, activation: softmax}]",
        f"phases=[{{trainable: head, lr: 0.01, epochs: 2}}, {', '.join(tuned)}]",
    ]
    without = train(tiny, *overrides, "features=off")
    kept = train(tiny, *overrides, "features=memory")
    assert_same(kept, without)
    plan = compile_recipe(tiny, overrides)
    trained = {layer for phase in plan.phases for layer in phase.trainable}
    for path, weight in initial_weights(plan).items():
        if path.split("/")[0] not in trained:
            np.testing.assert_array_equal(kept[1][path], weight, err_msg=path)


@pytest.mark.slow
def test_augmented_images_are_not_kept_but_measured_ones_are(tiny: Path, train: Callable[..., Any]) -> None:
    overrides = ["augment={flip: horizontal, mix_up: 0.5}", "phases[1].class_weight={along: 2}"]
    assert_same(train(tiny, *overrides, "features=memory"), train(tiny, *overrides, "features=off"))


BETWEEN = "{trainable: all, lr: 0.01, epochs: 1}, {trainable: block2a_dwconv.., lr: 0.01, epochs: 1}, "


@pytest.mark.parametrize("between", slow_but([""], ["", BETWEEN]), ids=["two phases", "four phases"])
def test_a_later_phase_that_freezes_more_sees_trained_weights(
    between: str, tiny: Path, train: Callable[..., Any]
) -> None:
    phases = (
        f"phases=[{{trainable: block1a_dwconv.., lr: 0.01, epochs: 1}}, {between}"
        "{trainable: head, lr: 0.01, epochs: 2}]"
    )
    assert_same(train(tiny, phases, "features=disk"), train(tiny, phases, "features=off"))


@pytest.mark.slow
def test_without_room_anywhere_it_trains_from_pixels_and_says_so_once(
    tiny: Path, tmp_path: Path, finish: Callable[..., Any], train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = train(tiny, "features=off")
    monkeypatch.setattr(features, "choose_place", lambda *_: Place("nowhere", "nowhere, since there is no room"))
    (tmp_path / "run").mkdir()
    result, events = finish(run(compile_recipe(tiny, ["evaluate.linear_probe=true"]), tmp_path / "run"))
    assert [event.place for event in events if isinstance(event, FeaturesKept)] == ["nowhere, since there is no room"]
    assert (result.frozen.known, result.frozen.computed, result.linear_probe is None) == (0, 0, False)
    assert_same(train(tiny), without)


def test_a_second_run_computes_no_frozen_layer(
    tiny: Path, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(tiny, "features=disk")
    monkeypatch.setattr(features, "_fill", None)
    assert_same(train(tiny, "features=disk"), first)
    # Another learning rate, split and batch size ask for the same features.
    train(tiny, "features=disk", "phases[0].lr=0.1", "data.split.seed=9", "data.batch_size=3")
    with pytest.raises(TypeError):
        train(tiny, "features=disk", "data.image_size=40")


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[str, list[int]]], list[int]]:
    """Layers of a small network, each with the layers that feed it, and which of them to train."""
    layers: list[tuple[str, list[int]]] = []
    for at in range(draw(st.integers(3, 8))):
        kind = draw(st.sampled_from(["conv", "norm", "dropout", "add", "concat", "relu"]))
        width = 2 if kind in {"add", "concat"} else 1
        layers.append((kind, [draw(st.integers(max(0, at - 3), at)) for _ in range(width)]))
    trained = draw(st.lists(st.integers(1, len(layers)), min_size=1, max_size=3))
    return layers, trained


def build_graph(layers: list[tuple[str, list[int]]]) -> keras.Model:
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    tensors = [keras.Input((16, 16, 3), name="l0")]
    for at, (kind, sources) in enumerate(layers, start=1):
        inputs, name = [tensors[source] for source in sources], f"l{at}"
        if kind in {"add", "concat"}:
            even = [keras.layers.Conv2D(4, 1, name=f"{name}_{n}")(tensor) for n, tensor in enumerate(inputs)]
            tensors.append((keras.layers.Add if kind == "add" else keras.layers.Concatenate)(name=name)(even))
        else:
            layer = {
                "conv": lambda name: keras.layers.Conv2D(4, 3, padding="same", name=name),
                "norm": lambda name: keras.layers.BatchNormalization(name=name),
                "dropout": lambda name: keras.layers.Dropout(0.3, seed=5, name=name),
                "relu": lambda name: keras.layers.ReLU(name=name),
            }[kind](name)
            tensors.append(layer(inputs[0]))
    ends = [keras.layers.Conv2D(4, 1, name=f"end_{at}")(tensor) for at, tensor in enumerate(tensors[-2:])]
    return keras.Model(tensors[0], keras.layers.Add(name="end")(ends))


# The second layer feeds layers on both sides of the third, which is trained.
SKIPPED = [("conv", [0]), ("norm", [1]), ("conv", [2]), ("add", [2, 3]), ("concat", [1, 4])]


def test_store_changes_nothing_where_skips_cross_the_frontier(
    tiny: Path, tmp_path: Path, train: Callable[..., Any]
) -> None:
    assert_store_changes_nothing(SKIPPED, [3], tiny, tmp_path, train)


@pytest.mark.slow
@given(graph=graphs())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_store_changes_nothing_in_any_graph(graph: Any, tiny: Path, tmp_path: Path, train: Callable[..., Any]) -> None:
    assert_store_changes_nothing(*graph, tiny, tmp_path, train)


def assert_store_changes_nothing(
    layers: list[tuple[str, list[int]]], trained: list[int], tiny: Path, tmp_path: Path, train: Callable[..., Any]
) -> None:
    model = build_graph(layers)
    model.save(tmp_path / "graph.keras")
    known = {layer.name for layer in model.layers}
    chosen = sorted({f"l{at}" for at in trained} & known)
    backbone = f"backbone={{model: '{tmp_path / 'graph.keras'}', preprocessing: tf, cut: end}}"
    overrides = [
        "data.image_size=16",
        backbone,
        f"phases=[{{trainable: [{', '.join([*chosen, 'head'])}], optimizer: sgd, lr: 0.05, epochs: 2}}]",
    ]
    assert_same(train(tiny, *overrides, "features=memory"), train(tiny, *overrides, "features=off"))


def test_pipeline_is_built_once_for_both(tiny: Path) -> None:
    plan = compile_recipe(tiny)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(build_pipeline(plan).prepare(pixels), (pixels.astype("float32") - 127) / 128)


@pytest.mark.slow
def test_views_are_drawn_from_kept_copies(tiny: Path, train: Callable[..., Any]) -> None:
    overrides = [
        "augment={views: 3, flip: horizontal, rotation: 0.2, mix_up: {of: features}}",
        "augment.brightness={factor: 0.2, of: features}",
        "phases[0].sample=balanced",
        "phases[0].loss=focal",
    ]
    kept = train(tiny, *overrides, "features=memory")
    assert_same(kept, train(tiny, *overrides, "features=off"))
    (warm_up, _), _ = kept
    (plain, _), _ = train(tiny, *overrides[2:], "features=memory")
    assert warm_up.history["loss"] != plain.history["loss"]


def test_views_follow_from_image_and_seed_alone(tiny: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    pipeline = build_pipeline(compile_recipe(tiny, ["augment={views: 2, rotation: 0.3, crop: 0.7}"]))
    first, again, other = pipeline.view(pixels, 5), pipeline.view(pixels, 5), pipeline.view(pixels, 6)
    assert first.dtype == np.uint8
    assert first.shape == pixels.shape
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
