"""Rates and regularization per layer: ``lr_scale``, ``layer_decay``, weight decay, ``anchor``, and ``plateau``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import slow_but, write_tiny

from surgeon.catalogue.optimizers import OPTIMIZERS
from surgeon.catalogue.schedules import SCHEDULES
from surgeon.errors import SurgeonError
from surgeon.planning.rates import rate_scales
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.derived import with_depth, write_derived
from surgeon.recipe.keys import Choice

Values = dict[str, Any]

LR = 0.04


@dataclass(frozen=True)
class Bench:
    """The tiny recipe on the small network, and the striped pictures."""

    recipe: Mapping[str, Any]
    folder: Path
    dataset: Any

    def step(self, phase: Mapping[str, Any]) -> tuple[float, Values, Values, Values]:
        """Trains all layers by one step, from weights which are not those that the network was loaded with.

        Returns:
            Its loss, and the trained variables by path: as they were loaded, before the step, and after it.
        """
        from surgeon.features.frozen import FrozenFeatures, Setup
        from surgeon.model.anchor import starting_point
        from surgeon.model.freezing import set_trainable
        from surgeon.model.pipeline import build_pipeline
        from surgeon.model.surgery import build_network
        from surgeon.planning.frontier import phase_frontiers
        from surgeon.runs.checkpoint import values_of
        from surgeon.training.phase import prepare
        from surgeon.training.sampling import samples_of_epoch

        path = self.folder / "trial.yaml"
        phases = [{"trainable": "all", "epochs": 9, "lr": LR, **phase}]
        path.write_text(yaml.safe_dump({**self.recipe, "phases": phases}), encoding="utf-8")
        plan = compile_recipe(path)
        network = build_network(plan)
        setup = Setup(plan, network, build_pipeline(plan), self.dataset, starting_point(network, plan))
        set_trainable(network, plan.phases[0])
        variables = {variable.path: variable for variable in network.trainable_variables}
        loaded, random = values_of(variables), np.random.default_rng(0)
        for variable in variables.values():
            variable.assign_add(random.uniform(-0.1, 0.1, variable.shape))
        before = values_of(variables)
        with ExitStack() as resources:
            feed = FrozenFeatures(setup, resources).feed("train", phase_frontiers(plan, 1)[0])
            training = prepare(setup, 1, feed, None)
            samples = samples_of_epoch(plan, 1, feed.examples, 1)
            tensors, labels = next(feed.examples.batches(plan.data.batch_size, samples))
            loss, _ = training.step(tensors, labels, np.ones(len(labels), np.float32))
        return float(loss), loaded, before, values_of(variables)

    @cached_property
    def plain(self) -> tuple[float, Values, Values, Values]:
        """A step of plain SGD."""
        return self.step({"optimizer": "sgd"})


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, photos: Path, small_network: Path) -> Iterator[Bench]:
    from surgeon.results.subscribers import drive
    from surgeon.search.images import open_images

    folder = tmp_path_factory.mktemp("rates")
    recipe = yaml.safe_load(write_tiny(folder / "tiny.yaml", photos, small_network).read_text(encoding="utf-8"))
    with ExitStack() as resources:
        session = drive(open_images(compile_recipe(folder / "tiny.yaml"), resources))
        yield Bench({**recipe, "features": "memory"}, folder, session.dataset)


def is_head(path: str) -> bool:
    return path.startswith("head")


@pytest.mark.parametrize("name", slow_but(["sgd", "adam", "muon"], OPTIMIZERS))
def test_a_scaled_rate_is_that_rate(name: str) -> None:
    """Updates, what they are made of, and the decay alike; a power of two scales without rounding."""
    import keras

    from surgeon.model.rates import build_optimizer

    spec = OPTIMIZERS[name]
    defaults = {key: schema["default"] for key, schema in spec.parameters.items() if "default" in schema}
    options = {} if name == "sgd" else {"gradient_accumulation_steps": 2, "use_ema": True, "clipnorm": 0.1}
    chosen = Choice(name, {**defaults, "weight_decay": 0.1, **options})

    def train(rate: float, *scales: float) -> list[Any]:
        random = np.random.default_rng(0)
        places = {"kernel": (3, 4), "bias": (4,), "heads/bias": (2, 3), "other_kernel": (3, 4)}
        variables = [
            keras.Variable(random.normal(size=shape), dtype="float32", name=path.rpartition("/")[2])
            for path, shape in places.items()
        ]
        schedule = keras.optimizers.schedules.CosineDecay(rate, 10)
        optimizer = build_optimizer(chosen, schedule, variables, scales)
        for _ in range(4):
            gradients = [keras.ops.convert_to_tensor(random.normal(size=one.shape), "float32") for one in variables]
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
        optimizer.finalize_variable_values(variables)  # with averages, if it keeps them
        return [variable.numpy() for variable in variables]

    scaled, low, high = train(LR, 0.25, 0.25, 0.25, 1.0), train(LR / 4, 1, 1, 1, 1), train(LR, 1, 1, 1, 1)
    for found, expected, other in zip(scaled, [*low[:3], high[3]], [*high[:3], low[3]], strict=True):
        np.testing.assert_array_equal(found, expected)
        assert not np.array_equal(found, other)


@pytest.mark.parametrize("optimizer", slow_but(["sgd"], ["sgd", "adam"]))
def test_each_layer_has_its_own_rate_and_only_kernels_decay(bench: Bench, optimizer: str) -> None:
    _, _, before, plain = bench.plain if optimizer == "sgd" else bench.step({"optimizer": optimizer})
    decay = {"optimizer": {optimizer: {"weight_decay": 0.5}}}
    _, _, begun, found = bench.step({**decay, "lr_scale": {"backbone": 0.25, "head": 1}})
    for path, value in found.items():
        np.testing.assert_array_equal(begun[path], before[path], err_msg=path)
        scale = 1.0 if is_head(path) else 0.25
        taken = 0.5 * LR * before[path] if path.endswith("kernel") else 0.0
        expected = scale * (plain[path] - before[path] - taken)
        np.testing.assert_allclose(value - before[path], expected, 1e-3, 1e-6, err_msg=path)
        if is_head(path) and path.endswith("bias"):
            np.testing.assert_array_equal(value, plain[path], err_msg=path)


def test_an_anchor_draws_the_backbone_to_where_the_run_began(bench: Bench) -> None:
    """The gradient of half a square is the distance."""
    loss, loaded, before, plain = bench.plain
    anchored_loss, _, _, anchored = bench.step({"optimizer": "sgd", "anchor": 0.3})
    squares = 0.0
    for path, value in plain.items():
        away = before[path] - loaded[path]
        if is_head(path):
            np.testing.assert_allclose(anchored[path], value, 1e-6, 1e-6, err_msg=path)
        else:
            squares += float(np.sum(away**2))
            np.testing.assert_allclose(value - anchored[path], LR * 0.3 * away, 1e-3, 1e-6, err_msg=path)
    assert anchored_loss - loss == pytest.approx(0.5 * 0.3 * squares, rel=1e-3)


def test_blocks_decay_from_the_head_on(tmp_path: Path) -> None:
    from surgeon.planning.cuts import block_ends

    recipe = tmp_path / "vgg.yaml"
    recipe.write_text(
        "recipe: 1\ndata: {source: flowers17}\nbackbone: {name: vgg16}\n"
        "head: [flatten, dense: {units: classes, activation: softmax}]\n"
        "phases: [{trainable: block4_conv2.., lr: 1, epochs: 1, layer_decay: 0.5, lr_scale: {block5_conv2: 0.1}}]\n",
        encoding="utf-8",
    )
    plan = compile_recipe(recipe)
    assert [row.name for row in block_ends(plan.network.backbone)][-2:] == ["block4_pool", "block5_pool"]
    assert rate_scales(plan.network, plan.phases[0]) == {
        "block4_conv2": 0.25,
        "block4_conv3": 0.25,
        "block5_conv1": 0.5,
        "block5_conv2": 0.05,
        "block5_conv3": 0.5,
        "head_dense": 1.0,
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"initial": 1.0, "patience": 2},
        {"initial": 1.0, "patience": 1, "factor": 0.5, "min_lr": 0.2},
        {"initial": 1.0, "patience": 2, "factor": 0.5, "min_delta": 0.3},
        {"initial": 1.0, "patience": 2, "factor": 0.5, "monitor": "val_accuracy"},
    ],
)
def test_rates_fall_as_those_of_keras(parameters: Mapping[str, Any]) -> None:
    import keras

    plateau = SCHEDULES["plateau"]
    complete = {name: schema.get("default") for name, schema in plateau.parameters.items()} | dict(parameters)
    history = np.random.default_rng(1).integers(0, 8, 40) / 8
    optimizer = keras.optimizers.SGD(complete["initial"])
    mode = "max" if complete["monitor"] == "val_accuracy" else "min"
    given = {name: value for name, value in complete.items() if name != "initial"}
    callback = keras.callbacks.ReduceLROnPlateau(**given, mode=mode)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    rates = []
    assert plateau.rate_after is not None
    for epoch, value in enumerate(history.tolist(), start=1):
        callback.on_epoch_end(epoch - 1, {complete["monitor"]: value})
        rates.append(plateau.rate_after(complete, {complete["monitor"]: history[:epoch].tolist()}))
        assert rates[-1] == pytest.approx(float(optimizer.learning_rate), rel=1e-5)
    assert len(set(rates)) > 2


@pytest.mark.usefixtures("tiny_and_small", "without_pictures")
def test_a_phase_follows_its_plateaus(surgeon: Callable[..., Any], tiny: Path, tmp_path: Path) -> None:
    lr = "{plateau: {initial: 0.01, patience: 1, min_delta: 9, min_lr: 0.0005}}"
    phase = f"phases=[{{trainable: head, lr: {lr}, epochs: 5}}]"
    assert surgeon("run", tiny, "--out", tmp_path / "run", "--quiet", "--set", phase).code == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["phases"][0]["history"]["lr"] == pytest.approx([0.01, 0.01, 0.001, 0.0005, 0.0005])


def test_a_depth_without_the_scaled_layers_is_not_written(tiny: Path, tmp_path: Path) -> None:
    text = tiny.read_text(encoding="utf-8")
    tiny.write_text(text.replace("optimizer: sgd", "optimizer: sgd\n    lr_scale: {block2a_dwconv: 0.1}"), "utf-8")
    with pytest.raises(SurgeonError, match="the phase trains none of the layers that 'block2a_dwconv' matches"):
        write_derived(tiny, {"phases": with_depth(tiny, "head", 0.1)}, [], tmp_path / "found.yaml")
    assert not (tmp_path / "found.yaml").exists()


def test_layers_and_plan_show_rates(surgeon: Callable[..., Any], tiny: Path) -> None:
    changes = ("--set", "phases[1].layer_decay=0.5", "--set", "phases[1].lr_scale={'head_*': 3}")
    shown = surgeon("layers", tiny, *changes)
    assert "trained, lr x 0.5" in shown.out
    assert "trained, lr x 3" in shown.out
    planned = json.loads(surgeon("plan", tiny, "--format", "json", *changes).out)["values"]
    assert planned["phases[1].lr_scale['head_*']"] == {"value": 3.0, "origin": "--set phases[1].lr_scale"}
