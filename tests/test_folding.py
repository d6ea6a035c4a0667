"""A convolution that computes its BatchNormalization too gives what the two layers give one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import slow_but
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.layer_table import tabulate
from surgeon.model import folding
from surgeon.model.folding import foldable
from surgeon.model.freezing import set_trainable, training_view
from surgeon.model.surgery import build_network, part_of
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.network import whole
from surgeon.recipe.plan import PhasePlan
from surgeon.training.runner import run


@contextmanager
def policy(name: str) -> Iterator[None]:
    """Builds layers with another dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@pytest.fixture
def double() -> Iterator[None]:
    """Builds layers in double precision, where a difference that is no rounding stands out."""
    with policy("float64"):
        yield


@pytest.fixture
def phase(tiny: Path) -> Callable[..., PhasePlan]:
    """A phase that trains the layers of these names."""
    plan = compile_recipe(tiny)

    def phase(trainable: Collection[str], batch_norm: str = "inference") -> PhasePlan:
        return replace(plan.phases[0], trainable=tuple(trainable), batch_norm=batch_norm)

    return phase


def randomize(model: Any) -> None:
    """Gives every BatchNormalization statistics, scales and offsets that make a difference, and biases too."""
    random = np.random.default_rng(3)
    for variable in model.weights:
        if variable.name in {"gamma", "moving_variance"}:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif variable.name in {"beta", "moving_mean", "bias"}:
            variable.assign(random.normal(0, 0.3, variable.shape))


def unfolded(part: Any, *arguments: Any) -> Any:
    """The view in which every layer computes its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "foldable", lambda part, active: {})
        return training_view(part, *arguments)


def folded_norms(view: Any) -> set[str]:
    return {layer.name for layer in view.layers if "norm" in getattr(layer, "arguments", {})}


def pass_through(view: Any, variables: list[Any]) -> dict[str, np.ndarray]:
    """Outputs, loss and gradients of one step, all by their names."""
    random = np.random.default_rng(4)
    with tf.GradientTape() as tape:
        outputs = view(random.normal(size=(2, *view.inputs[0].shape[1:])))
        target = random.normal(size=outputs.shape)
        loss = tf.reduce_mean((outputs - target) ** 2) + sum(view.losses)
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    named = {variable.path: gradient.numpy() for variable, gradient in zip(variables, gradients, strict=True)}
    return {"outputs": outputs.numpy(), "loss": loss.numpy(), **named}


def check(model: Any, phase: PhasePlan) -> set[str]:
    """Compares a network's folded view with the one that is not; returns which BatchNormalization was folded."""
    randomize(model)
    set_trainable(model, phase)
    network = whole(tabulate(model))
    view = training_view(model, network, phase)
    found = pass_through(view, model.trainable_variables)
    expected = pass_through(unfolded(model, network, phase), model.trainable_variables)
    for name, values in expected.items():
        scale = np.abs(values).max()
        assert scale > 0, f"{name} compares nothing"
        np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-9 * scale, err_msg=name)
    return folded_norms(view)


def names(model: Any) -> list[str]:
    return [layer.name for layer in model.layers]


NETWORKS = {
    "mobilenetv2": ".*",
    "efficientnetlite0": ".*",
    "efficientnetb0": ".*",
    "resnet50": ".*",
    "resnet50v2": r"conv\d_block\d_[12]_bn",
    "densenet121": r"conv1_bn|conv\d_block\d+_1_bn",
}


@pytest.mark.parametrize("name", slow_but({"mobilenetv2"}, NETWORKS))
def test_networks_give_the_same_outputs_and_gradients(name: str, double: None, phase: Callable[..., PhasePlan]) -> None:
    keras.utils.set_random_seed(1)
    model = BACKBONES[name].build((32, 32, 3), False)
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0  # it would draw anew for each view
    normalizing = [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    folded = check(model, phase(names(model)))
    assert folded == {norm for norm in normalizing if re.fullmatch(NETWORKS[name], norm)}
    assert folded


def chain(*sequence: Any, shape: tuple[int, ...] = (9, 8, 4)) -> Any:
    """A model of layers one after the other."""
    keras.utils.set_random_seed(1)
    tensor = inputs = keras.Input(shape, name="image")
    for layer in sequence:
        tensor = layer(tensor)
    return keras.Model(inputs, tensor)


def norm(**arguments: Any) -> Any:
    return layers.BatchNormalization(name="norm", **arguments)


FOLDED: dict[str, Callable[[], Any]] = {
    "no bias": lambda: chain(layers.Conv2D(6, 3, use_bias=False), norm()),
    "strides": lambda: chain(layers.Conv2D(6, 3, strides=(2, 1), padding="same"), norm()),
    "padded before": lambda: chain(layers.ZeroPadding2D(((0, 1), (1, 0))), layers.Conv2D(6, 3, strides=2), norm()),
    "dilation": lambda: chain(layers.Conv2D(6, 3, dilation_rate=2), norm()),
    "groups": lambda: chain(layers.Conv2D(6, 3, groups=2), norm()),
    "depthwise": lambda: chain(layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False), norm()),
    "wide": lambda: chain(layers.DepthwiseConv2D(5, strides=2, padding="same"), norm()),
    "pointwise": lambda: chain(layers.Conv2D(6, 1, use_bias=False), norm()),
    "pointwise with strides": lambda: chain(layers.Conv2D(6, 1, strides=2), norm()),
    "multiplier": lambda: chain(layers.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2), norm()),
    "dense": lambda: chain(layers.Flatten(), layers.Dense(5), norm()),
    "dense on maps": lambda: chain(layers.Dense(5, use_bias=False), norm()),
    "no scale": lambda: chain(layers.Conv2D(6, 3), norm(scale=False)),
    "no center": lambda: chain(layers.Conv2D(6, 3), norm(center=False)),
    "neither": lambda: chain(layers.DepthwiseConv2D(3, use_bias=False), norm(center=False, scale=False)),
    "axis": lambda: chain(layers.Conv2D(6, 3), norm(axis=3, epsilon=0.5)),
    "penalties": lambda: chain(
        layers.Conv2D(6, 3, kernel_regularizer="l2", bias_regularizer="l1"), norm(gamma_regularizer="l2")
    ),
    "regardless of what follows": lambda: chain(layers.Conv2D(6, 3), norm(), layers.ReLU(), layers.Conv2D(2, 1)),
}


@pytest.mark.parametrize("case", FOLDED)
def test_folds(case: str, double: None, phase: Callable[..., PhasePlan]) -> None:
    model = FOLDED[case]()
    assert check(model, phase(names(model))) == {"norm"}


def test_an_activation_that_is_called_twice(double: None, phase: Callable[..., PhasePlan]) -> None:
    swish = layers.Activation("swish", name="act")
    model = chain(layers.Conv2D(6, 3), norm(), swish, layers.Conv2D(4, 3), swish)
    assert check(model, phase(names(model))) == {"norm"}


def halved(convolutions: int, norms: int) -> Any:
    """A model in which each half of the input goes through a convolution and a normalization, or both through one."""
    convolve = [layers.Conv2D(4, 3) for _ in range(convolutions)]
    normalize = [layers.BatchNormalization() for _ in range(norms)]
    inputs = keras.Input((9, 8, 4))
    halves = [convolve[0](inputs[:, :, :4]), convolve[-1](inputs[:, :, 4:])]
    return keras.Model(inputs, layers.Add()([normalize[0](halves[0]), normalize[-1](halves[1])]))


def branched(**ends: bool) -> Any:
    """A model whose convolution is an output, or feeds another layer than its BatchNormalization."""
    inputs = keras.Input((9, 8, 4))
    between = layers.Conv2D(6, 3)(inputs)
    after = norm()(between)
    return keras.Model(inputs, [after, between] if ends["output"] else layers.Add()([after, between]))


def with_lora() -> Any:
    model = chain(layers.Conv2D(6, 3, name="conv"), norm())
    model.get_layer("conv").enable_lora(2)
    return model


class Doubled(layers.Conv2D):
    def call(self, inputs: Any) -> Any:
        return 2 * super().call(inputs)


NOT_FOLDED: dict[str, Callable[[], Any]] = {
    "activation": lambda: chain(layers.Conv2D(6, 3, activation="relu"), norm()),
    "layer between": lambda: chain(layers.Conv2D(6, 3), layers.ReLU(), norm()),
    "no convolution": lambda: chain(norm(), layers.Conv2D(6, 3)),
    "second consumer": lambda: branched(output=False),
    "convolution is an output": lambda: branched(output=True),
    "both used twice": lambda: halved(convolutions=1, norms=1),
    "convolution used twice": lambda: halved(convolutions=1, norms=2),
    "normalization used twice": lambda: halved(convolutions=2, norms=1),
    "other axis": lambda: chain(layers.Conv2D(6, 3), norm(axis=1)),
    "separable": lambda: chain(layers.SeparableConv2D(6, 3), norm()),
    "transposed": lambda: chain(layers.Conv2DTranspose(6, 3), norm()),
    "derived class": lambda: chain(Doubled(6, 3), norm()),
    "low-rank update": with_lora,
    "penalty on the output": lambda: chain(layers.Conv2D(6, 3, activity_regularizer="l2"), norm()),
    "penalty on the normalized": lambda: chain(layers.Conv2D(6, 3), norm(activity_regularizer="l2")),
    "channels first": lambda: chain(layers.Conv2D(6, 3, data_format="channels_first"), norm()),
    "quantized": lambda: chain(layers.Dense(6, dtype="int8_from_float32"), norm()),
    "nested": lambda: chain(chain(layers.Conv2D(6, 3), norm())),
}


@pytest.mark.parametrize("case", NOT_FOLDED)
def test_does_not_fold(case: str) -> None:
    assert foldable(NOT_FOLDED[case](), active=()) == {}


def test_layers_that_are_used_once_each_fold() -> None:
    assert len(foldable(halved(convolutions=2, norms=2), active=())) == 2


def test_folds_only_what_runs_in_inference_mode(double: None, phase: Callable[..., PhasePlan]) -> None:
    model = chain(layers.Conv2D(6, 3, name="conv"), norm())
    assert check(model, phase(["conv"])) == {"norm"}
    assert check(model, phase(["norm"])) == {"norm"}
    assert check(model, phase(["conv"], batch_norm="train")) == {"norm"}
    assert check(model, phase(["conv", "norm"], batch_norm="train")) == set()


def test_a_part_that_begins_between_the_two_folds_nothing() -> None:
    model = chain(layers.Conv2D(6, 3, name="conv"), norm(), layers.ReLU(name="relu"))
    assert foldable(part_of(model, ["conv"], []), active=()) == {}
    assert foldable(part_of(model, [], ["conv", "relu"]), active=()) == {}
    assert set(foldable(part_of(model, [], ["norm", "relu"]), active=())) == {"norm"}


@pytest.mark.parametrize("outer", ["float32", "mixed_bfloat16"])
def test_kernel_is_scaled_before_it_is_rounded(outer: str, phase: Callable[..., PhasePlan]) -> None:
    mixed = {"dtype": "mixed_bfloat16"}
    model = chain(layers.Conv2D(1, 1, use_bias=False, **mixed), norm(epsilon=0.0, **mixed), shape=(2, 2, 1))
    kernel, gamma = 1 + 2**-8, 1.003125  # 1 and 1.0078125 in bfloat16, before and after the one is scaled
    for variable, value in zip(model.weights, [kernel, gamma, 0, 0, 1], strict=True):
        variable.assign(np.full(variable.shape, value))
    with policy(outer):
        view = training_view(model, whole(tabulate(model)), phase(names(model)))
    outputs = view(np.ones((1, 2, 2, 1), np.float32))
    assert folded_norms(view) == {"norm"}
    assert view.outputs[0].dtype == outputs.dtype == "bfloat16"
    np.testing.assert_array_equal(keras.ops.cast(outputs, "float32"), np.full((1, 2, 2, 1), 1.0078125))


# Not relu, behind which a gradient may be zero by chance.
ACTIVATIONS = st.sampled_from([None, None, "elu"])


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[str, list[int], dict[str, Any]]]:
    """Layers of a small network: a kind, which layers before feed it, and its arguments."""
    sequence: list[tuple[str, list[int], dict[str, Any]]] = []
    for at in range(draw(st.integers(2, 8))):
        kind = draw(st.sampled_from(["conv", "depthwise", "dense", "norm", "norm", "norm", "add", "elu"]))
        arguments = {
            "norm": {"scale": st.booleans(), "center": st.booleans()},
            "conv": {"use_bias": st.booleans(), "groups": st.sampled_from([1, 2]), "activation": ACTIVATIONS},
            "depthwise": {"use_bias": st.booleans(), "activation": ACTIVATIONS},
            "dense": {"use_bias": st.booleans(), "activation": ACTIVATIONS},
        }.get(kind, {})
        near = st.integers(max(0, at - 2), at)
        feeds = [draw(near) for _ in range(2 if kind == "add" else 1)]
        sequence.append((kind, feeds, draw(st.fixed_dictionaries(arguments))))
    return sequence


KINDS: dict[str, Callable[..., Any]] = {
    "conv": lambda **arguments: layers.Conv2D(4, 3, padding="same", **arguments),
    "depthwise": lambda **arguments: layers.DepthwiseConv2D(3, padding="same", **arguments),
    "dense": lambda **arguments: layers.Dense(4, **arguments),
    "norm": layers.BatchNormalization,
    "add": layers.Add,
    "elu": layers.ELU,
}


@pytest.mark.slow
@given(graph=graphs())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_graph_gives_the_same(graph: Any, double: None, phase: Callable[..., PhasePlan]) -> None:
    keras.utils.set_random_seed(1)
    tensors = [keras.Input((6, 5, 4), name="0")]
    for at, (kind, feeds, arguments) in enumerate(graph, start=1):
        inputs = [tensors[feed] for feed in feeds]
        tensors.append(KINDS[kind](name=str(at), **arguments)(inputs if kind == "add" else inputs[0]))
    # Every layer leads to the output, on which it then has an effect of its own.
    users = [
        [at for at, (_, feeds, _) in enumerate(graph, start=1) if number in feeds] for number in range(len(tensors))
    ]
    ends = [layers.GlobalAveragePooling2D()(tensor) for tensor, used in zip(tensors, users, strict=True) if not used]
    model = keras.Model(tensors[0], layers.Add()(ends) if len(ends) > 1 else ends[0])
    expected = {
        str(at)
        for at, (kind, (feed, *_), _) in enumerate(graph, start=1)
        if kind == "norm" and feed and users[feed] == [at] and is_linear(*graph[feed - 1])
    }
    assert check(model, phase(names(model))) == expected


def is_linear(kind: str, feeds: list[int], arguments: dict[str, Any]) -> bool:
    return kind in {"conv", "depthwise", "dense"} and arguments["activation"] is None


def test_a_run_saves_the_layers_as_they_were(tiny: Path, tmp_path: Path, finish: Callable[..., Any]) -> None:
    model = chain(
        layers.Conv2D(6, 3, name="conv"), norm(), layers.DepthwiseConv2D(3), layers.BatchNormalization(name="last")
    )
    model = keras.models.clone_model(model, input_tensors=keras.Input((32, 32, 3)))
    randomize(model)
    model.save(tmp_path / "backbone.keras")
    backbone = f"backbone={{model: '{tmp_path / 'backbone.keras'}', preprocessing: tf, cut: last}}"
    plan = compile_recipe(tiny, [backbone, "phases=[{trainable: all, optimizer: sgd, lr: 0.01, epochs: 2}]"])
    result, _ = finish(run(plan, tmp_path))
    saved = {
        variable.path: variable.numpy() for variable in keras.saving.load_model(tmp_path / "network.keras").weights
    }
    initial = build_network(plan).weights
    assert [variable.path for variable in initial] == list(saved)
    for variable in initial:
        is_kept = variable.name.startswith("moving_")
        assert np.array_equal(saved[variable.path], variable.numpy()) == is_kept, variable.path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "foldable", lambda part, active: {})
        expected, _ = finish(run(plan, tmp_path))
    np.testing.assert_allclose(result.phases[0].history["loss"], expected.phases[0].history["loss"], rtol=1e-3)
