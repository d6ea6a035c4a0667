"""Networks that people bring: each is taken as it is, number for number, or refused in words by `validate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from surgeon.errors import RecipeError
from surgeon.recipe.compiler import compile_recipe, validate_recipe
from surgeon.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE = 16
POOLED = "[global_average_pooling, {dense: {units: classes, activation: softmax}}]"
FLAT = "[flatten, {dense: {units: classes, activation: softmax}}]"


def convolution(name: str, channels: int = 4, **rest: Any) -> Any:
    import keras

    return keras.layers.Conv2D(channels, 3, padding="same", name=name, **rest)


def ends(inputs: Any, x: Any) -> Any:
    import keras

    pooled = keras.layers.GlobalAveragePooling2D(name="gap")(x)
    return keras.Model(inputs, keras.layers.Dense(5, name="top")(pooled), name="brought")


def plain(**image: Any) -> Any:
    import keras

    inputs = keras.Input(**{"shape": (SIDE, SIDE, 3), "name": "image", **image})
    scaled = keras.layers.Rescaling(1 / 255, name="scale")(inputs)
    return ends(inputs, keras.layers.ReLU(name="last")(convolution("c1")(scaled)))


def inner() -> Any:
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.BatchNormalization(name="b1")(convolution("head_dense")(inputs))
    return keras.Model(inputs, x, name="last")


def nested() -> Any:
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    return ends(inputs, inner()(convolution("c1", 3)(inputs)))


def sequential() -> Any:
    import keras

    layers = [keras.Input((SIDE, SIDE, 3)), convolution("c1"), keras.layers.ReLU(name="last")]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(3)], name="brought")


def operations(kind: str) -> Any:
    import keras
    from keras import ops

    inputs = keras.Input((SIDE, SIDE, 3))
    first = convolution("c1")(inputs / 127.5 - 1.0)
    last = convolution("last")(ops.relu(first))
    if kind == "sum":
        return ends(inputs, first + last * 0.5)
    if kind == "mean":
        return keras.Model(inputs, keras.layers.Dense(5)(ops.mean(last, axis=(1, 2))), name="brought")
    if kind == "slice":
        return ends(inputs, last[:, ::2])
    return ends(inputs, convolution("other")(inputs) + last)  # of another branch, which does not lead to the cut


def shared(*, cut_between: bool) -> Any:
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    twice = convolution("last" if cut_between else "c1", 3)
    x = keras.layers.Add(name="sum" if cut_between else "last")([twice(inputs), twice(twice(inputs))])
    return ends(inputs, x)


def mapping() -> Any:
    import keras

    model = plain()
    return keras.Model({"image": model.input}, model.output, name="brought")


def two(what: str) -> Any:
    import keras

    model = plain()
    if what == "outputs":
        return keras.Model(model.input, [model.output, model.get_layer("gap").output], name="brought")
    other = keras.Input((4,), name="other")
    both = keras.layers.Concatenate(name="both")([model.output, other])
    return keras.Model([model.input, other], both, name="brought")


def under(policy: str) -> Any:
    import keras

    keras.config.set_dtype_policy(policy)
    try:
        return plain()
    finally:
        keras.config.set_dtype_policy("float32")


def named(name: str, **more: Any) -> Any:
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    return ends(inputs, convolution("last")(convolution(name, **more)(inputs)))


def twins() -> Any:
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    left, right = inner(), inner()
    right.name = "right"
    return ends(inputs, keras.layers.Add(name="sum")([left(inputs), right(inputs)]))


def row_of_numbers() -> Any:
    import keras

    inputs = keras.Input((7,))
    return keras.Model(inputs, keras.layers.Dense(2, name="last")(inputs), name="brought")


def channels_first() -> Any:
    import keras

    inputs = keras.Input((3, SIDE, SIDE))
    return keras.Model(inputs, convolution("last", data_format="channels_first")(inputs), name="brought")


def subclassed() -> Any:
    import keras

    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="brought")
            self.last = keras.layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            return self.last(inputs)

    model = Own()
    model(np.zeros((1, SIDE, SIDE, 3), np.float32))
    return model


TAKEN: dict[str, Callable[[], Any]] = {
    "plain": plain,
    "of any size": lambda: plain(shape=(None, None, 3)),
    "oblong": lambda: plain(shape=(8, 24, 3)),
    "of a fixed batch": lambda: plain(batch_size=8),
    "of whole numbers": lambda: plain(dtype="uint8"),
    "one input in a mapping": mapping,
    "two outputs": lambda: two("outputs"),
    "sequential": sequential,
    "a model inside": nested,
    "a sum behind the cut": lambda: operations("sum"),
    "a mean behind the cut": lambda: operations("mean"),
    "a slice behind the cut": lambda: operations("slice"),
    "a sum with a branch that is dropped": lambda: operations("branch"),
    "a layer in two places": lambda: shared(cut_between=False),
    "mixed float16": lambda: under("mixed_float16"),
    "mixed bfloat16": lambda: under("mixed_bfloat16"),
    "names of a head": lambda: named("head_dense"),
}
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "two inputs": (lambda: two("inputs"), "'brought' takes 2 inputs: (16, 16, 3), (4); expected one"),
    "grey": (lambda: plain(shape=(SIDE, SIDE, 1)), "'brought' takes images of 1 channels, but images are read as RGB"),
    "four channels": (lambda: plain(shape=(SIDE, SIDE, 4)), "'brought' takes images of 4 channels"),
    "a row of numbers": (row_of_numbers, "'brought' takes (7), which is not an image"),
    "channels first": (channels_first, "'last' takes channels first"),
    "subclassed": (subclassed, "it is made of classes that are not Keras' own"),
    "float16": (lambda: under("float16"), "the weights of 'brought' are float16, and surgeon trains in float32"),
    "float64": (lambda: under("float64"), "the weights of 'brought' are float64"),
    "cut in a layer of two places": (
        lambda: shared(cut_between=True),
        "backbone.cut: layer 'last' is called in several places, and not all of them lead to 'last'",
    ),
    "two weights of one name": (twins, "two of the weights up to 'sum' are called 'head_dense/kernel'"),
    "a name that cannot be run": (lambda: named("x*y"), "TensorFlow cannot run a layer that is called 'x*y'"),
}


@pytest.fixture
def bring(tmp_path: Path, photos: Path) -> Callable[..., Path]:
    """Saves a model and returns a recipe that has it as its backbone."""

    def bring(model: Any, cut: str = "last", head: str = POOLED, trainable: str = "head") -> Path:
        model.save(tmp_path / "brought.keras")
        recipe = tmp_path / "brought.yaml"
        recipe.write_text(
            f"recipe: 1\ndata: {{source: {{folder: '{photos}'}}, batch_size: 8}}\n"
            f"backbone: {{model: brought.keras, preprocessing: none, cut: {cut}}}\n"
            f"head: {head}\nphases: [{{trainable: {trainable}, lr: 0.01, epochs: 1}}]\n"
        )
        return recipe

    return bring


@pytest.fixture(autouse=True)
def keras_loaded() -> None:
    load_tensorflow()


@pytest.mark.parametrize("kind", TAKEN)
def test_a_network_is_taken_number_for_number(kind: str, bring: Callable[..., Path]) -> None:
    import keras

    from surgeon.catalogue.layer_table import tabulate
    from surgeon.model.surgery import build_network, layer_output, output_of

    keras.utils.set_random_seed(1)
    model = TAKEN[kind]()
    recipe = bring(model)
    assert validate_recipe(recipe) == ()
    plan = compile_recipe(recipe)
    network = build_network(plan)
    rows = {row.name: row for row in plan.network.rows}
    for built in tabulate(network).rows:
        planned = rows.pop(built.name)
        assert (built.kind, built.shape, built.trainable, built.fixed) == (
            planned.kind,
            planned.shape,
            planned.trainable,
            planned.fixed,
        )
    assert not rows
    assert len({layer.name for layer in network._flatten_layers()}) == len(network._flatten_layers())
    images = np.random.default_rng(0).integers(0, 256, (8, *plan.data.image_size, 3)).astype(np.float32)
    features = keras.Model(network.input, output_of(network, "last"))(images)
    graph = keras.Model(model.inputs, model.outputs)
    last = model.get_layer("gap").input if "sum behind" in kind else layer_output(graph, "last")
    expected = keras.Model(model.inputs[0], last)(images.astype(model.inputs[0].dtype))
    tolerance = 0.02 if "mixed" in kind else 1e-5
    np.testing.assert_allclose(features, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_taken_is_refused_in_words(kind: str, bring: Callable[..., Path]) -> None:
    make, words = REFUSED[kind]
    problems = validate_recipe(bring(make(), "sum" if "of one name" in kind else "last"))
    assert words in "\n".join(map(str, problems))
    assert {problem.location.line for problem in problems} == {3}


def test_a_network_of_any_size_takes_the_recipes_size_or_the_default(bring: Callable[..., Path]) -> None:
    recipe = bring(plain(shape=(None, None, 3)))
    plan = compile_recipe(recipe)
    assert (plan.data.image_size, plan.origins["data.image_size"]) == ((224, 224), "default")
    plan = compile_recipe(recipe, ["data.image_size=[32, 48]"])
    assert plan.data.image_size == plan.network.rows[0].shape[:2] == (32, 48)
    recipe = bring(plain(shape=(None, 24, 3)))
    assert compile_recipe(recipe, ["data.image_size=[32, 24]"]).data.image_size == (32, 24)
    with pytest.raises(RecipeError, match="the model takes images of any x 24 pixels"):
        compile_recipe(recipe, ["data.image_size=32"])


@pytest.mark.parametrize(
    ("name", "selector", "selected"),
    [
        ("1", "'=1'", ["1"]),
        ("1", "1", ["1"]),  # it has that index, too
        ("head", "head", ["head_dense"]),
        ("head", "'=head'", ["head"]),
        ("all", "'=all'", ["all"]),
        ("a..b", "a..b", ["a..b"]),
        ("0..1", "'=0..1'", ["0..1"]),
        ("head_dense", "head", ["head_dense_2"]),
        ("head_dense", "head_dense", ["head_dense"]),
    ],
)
def test_every_layer_can_be_named(name: str, selector: str, selected: list[str], bring: Callable[..., Path]) -> None:
    recipe = bring(named(name), head=FLAT, trainable=selector)
    assert validate_recipe(recipe) == ()
    assert list(compile_recipe(recipe).phases[0].trainable) == selected


@pytest.mark.parametrize(
    ("name", "selector", "words"),
    [
        (
            "2",
            "2",
            "'2' is the name of layer 1 and the index of 'last'; write '=2' for the layer of that name or '=last'",
        ),
        ("2", "'2'", "'2' is the name of layer 1 and the index of 'last'"),
        ("0..2", "'0..2'", "'0..2' is a pattern and the name of layer 1; write '=0..2' for the layer of that name"),
    ],
)
def test_what_means_two_is_not_guessed(name: str, selector: str, words: str, bring: Callable[..., Path]) -> None:
    recipe = bring(named(name), trainable=selector)
    assert words in "\n".join(map(str, validate_recipe(recipe)))


def test_a_cut_at_an_odd_name_compiles_to_the_same_plan_again(bring: Callable[..., Path], tmp_path: Path) -> None:
    from surgeon.recipe.text import dump_text

    plan = compile_recipe(bring(named("2"), cut="'=2'"))
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_text(plan.recipe))
    assert compile_recipe(resolved).backbone == plan.backbone
    assert plan.backbone.cut == "2"


def test_a_former_run_gets_a_new_head(bring: Callable[..., Path], tmp_path: Path) -> None:
    from surgeon.model.surgery import build_network

    hidden = "[global_average_pooling, {dense: {units: 8}}, {dense: {units: classes, activation: softmax}}]"
    former = build_network(compile_recipe(bring(plain(), head=hidden)))
    assert [layer.name for layer in former.layers[-2:]] == ["head_dense", "head_dense_2"]
    plan = compile_recipe(bring(former, cut="head_dense", head=f"[{{dense: {{units: 4}}}}, {hidden.split(', ', 2)[2]}"))
    assert [row.name for row in plan.network.head] == ["head_dense_2", "head_dense_3"] == list(plan.phases[0].trainable)
    assert [layer.name for layer in build_network(plan).layers[-3:]] == ["head_dense", "head_dense_2", "head_dense_3"]


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("kind", TAKEN)
def test_every_kind_trains(kind: str, bring: Callable[..., Path], surgeon: Callable[..., Any], tmp_path: Path) -> None:
    recipe = bring(TAKEN[kind](), trainable="all")
    out = tmp_path / "out"
    outcome = surgeon("run", recipe, "--set", "data.batch_size=9", "--out", out, "-q", "--format", "json")
    assert outcome.code == 0, outcome.err
    assert (out / "result.json").exists()


def test_the_usable_network_of_a_run_is_not_prepared_twice(finished_run: Path, tiny: Path) -> None:
    """``model.keras`` prepares pixels itself: with a preprocessing the network inside it is meant."""
    cut = "cut: block1a_project_bn"

    def model(backbone: str) -> str:
        plan = compile_recipe(
            tiny, [f"backbone={{{backbone}, {cut}}}", "phases=[{trainable: head, lr: 0.1, epochs: 1}]"]
        )
        assert plan.backbone.model is not None
        return f"{plan.backbone.model.name} {plan.backbone.preprocessing}"

    assert model(f"model: '{finished_run}'") == "network.keras lite"
    assert model(f"model: '{finished_run}/model.keras', preprocessing: lite") == "network.keras lite"
    assert model(f"model: '{finished_run}/model.keras', preprocessing: none") == "model.keras none"


def test_the_usable_network_has_the_layers_of_the_run(finished_run: Path) -> None:
    import keras

    layers = {layer.name for layer in keras.saving.load_model(finished_run / "model.keras").layers}
    assert {"pixels", "block1a_project_bn", "head_dense"} <= layers
