"""The estimate's order: what does more takes longer, and the plan tells what the run does. No seconds are compared."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import slow_but, write_tiny

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.building import load_table
from surgeon.data.dataset import Index, index_images
from surgeon.planning import estimate
from surgeon.planning import forecast as forecasts
from surgeon.planning.estimate import epoch_seconds, forward_seconds
from surgeon.planning.forecast import forecast_run
from surgeon.planning.frontier import find_frontier, image_frontier
from surgeon.planning.machine import Machine, measure_machine
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.network import Network, whole
from surgeon.recipe.plan import Plan
from surgeon.results.events import FeaturesKept
from surgeon.results.forecast import PhaseForecast, Place
from surgeon.training.runner import run

RECIPE = Path(__file__).parent.parent / "recipes" / "vgg16_flowers17.yaml"
MACHINE = Machine(multiply_adds_per_second=1e11, bytes_per_second=1e10, memory=1 << 33)
PRECISIONS = ("auto", "float32", "bfloat16")
NETWORKS = ["vgg16", "resnet50", "mobilenetv2", "efficientnetb0", "efficientnetlite0", "densenet121"]


def compiled(name: str, trainable: str, *overrides: str) -> Plan:
    head = "head=[global_average_pooling, dense: {units: classes, activation: softmax}]"
    phases = f"phases=[{{trainable: {trainable}, lr: 0.1, epochs: 1}}]"
    return compile_recipe(RECIPE, [f"backbone={{name: {name}, weights: none}}", head, phases, *overrides])


def forward(network: Network, layers: Any = None, machine: Machine = MACHINE, **wanted: str) -> float:
    names = [row.name for row in network.rows] if layers is None else layers
    return forward_seconds(network, names, machine, 32, **{"engine": "tensorflow", "precision": "float32", **wanted})


def epoch(plan: Plan, frontier: Any = None, machine: Machine = MACHINE) -> float:
    (phase,) = plan.phases
    deepest = find_frontier(plan.network, phase.trainable)
    return epoch_seconds(plan.network, phase, frontier or deepest, machine, 32, plan.precision)


def indexed(plan: Plan, finish: Callable[..., Any]) -> Index:
    return finish(index_images(plan.data))[0]  # type: ignore[no-any-return]


def starts_from_images(phase: PhaseForecast) -> bool:
    return [tensor.layer for tensor in phase.starts_from] == [None]


@pytest.mark.parametrize("name", slow_but({"vgg16", "mobilenetv2", "efficientnetlite0"}, BACKBONES.own))
def test_every_backbone_has_an_estimate_that_grows_with_the_image(name: str) -> None:
    side = BACKBONES[name].image_size
    small, large = (whole(load_table(BACKBONES[name], (size, size))) for size in (side, 2 * side))
    for engine in ("tensorflow", "openvino"):
        for precision in ("float32", "bfloat16"):
            seconds = forward(small, engine=engine, precision=precision)
            assert 0 < seconds < forward(large, engine=engine, precision=precision) < math.inf
    assert all(forward(small, [row.name]) > 0 for row in small.rows)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_epoch_gets_shorter_by_freezing_more_and_by_keeping_more(name: str) -> None:
    rows = compiled(name, "all").network.backbone
    starts = [row.name for row in rows if row.kind == "Conv2D"][1 :: len(rows) // 12]
    plans = [compiled(name, "all"), *(compiled(name, f"{start}..") for start in starts), compiled(name, "head")]
    for plan, freezing_more in itertools.pairwise(plans):
        assert epoch(freezing_more) < epoch(plan)
    for plan in plans:
        assert 0 < epoch(plan) <= epoch(plan, image_frontier(plan.network, plan.phases[0].trainable))


@pytest.mark.parametrize("name", NETWORKS)
def test_an_epoch_gets_longer_with_the_image_and_the_batch_shares_the_update(name: str) -> None:
    small, large = (compiled(name, "all", f"data.image_size={size}") for size in (96, 192))
    assert epoch(small) < epoch(large)
    (phase,) = small.phases
    alone = epoch_seconds(small.network, phase, image_frontier(small.network, phase.trainable), MACHINE, 1, "float32")
    assert alone > epoch(small)


def test_training_nothing_is_a_forward_pass_and_parts_add_up_to_it() -> None:
    plan = compiled("vgg16", "head")
    (phase,) = plan.phases
    nothing = dataclasses.replace(phase, trainable=())
    found = epoch_seconds(plan.network, nothing, image_frontier(plan.network, ()), MACHINE, 32, "float32")
    assert found == pytest.approx(forward(plan.network))
    frontier = find_frontier(plan.network, phase.trainable)
    behind = {row.name for row in plan.network.rows} - frontier.prefix
    assert forward(plan.network, frontier.prefix) + forward(plan.network, behind) == pytest.approx(found)


def test_a_faster_machine_is_faster_in_what_limits_a_layer() -> None:
    network = compiled("mobilenetv2", "head").network
    for faster in ({"multiply_adds_per_second": 1e12}, {"bytes_per_second": 1e11}):
        assert forward(network, machine=dataclasses.replace(MACHINE, **faster)) < forward(network)
    convolutions = [row.name for row in compiled("vgg16", "head").network.backbone if row.kind == "Conv2D"][1:]
    network = compiled("vgg16", "head").network
    same = forward(network, convolutions, dataclasses.replace(MACHINE, bytes_per_second=1e11))
    assert same == forward(network, convolutions)


def test_statistics_of_the_batch_take_longer_than_kept_ones() -> None:
    kept, batch = (compiled("resnet50", "conv5_block1_1_conv..") for _ in range(2))
    phase = dataclasses.replace(batch.phases[0], batch_norm="train")
    assert epoch(dataclasses.replace(batch, phases=(phase,))) > epoch(kept)


def test_grouped_convolutions_are_slow_in_tensorflow() -> None:
    network = whole(load_table(BACKBONES["convnexttiny"], (224, 224)))
    grouped = [row.name for row in network.rows if row.name.endswith("depthwise_conv")]
    assert len(grouped) == 18
    assert forward(network, grouped) > 10 * forward(network, grouped, engine="openvino")


@pytest.mark.parametrize(("flags", "gains"), [({"avx512f", "amx_bf16"}, True), ({"avx2"}, False), (None, False)])
def test_bfloat16_gains_only_where_the_processor_has_it(
    flags: set[str] | None, gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "cpu_flags", lambda: flags)
    network = compiled("vgg16", "head").network
    assert (forward(network, precision="bfloat16") < forward(network)) == gains


@pytest.mark.parametrize("name", ["vgg16", "mobilenetv2"])
def test_what_is_left_open_takes_as_long_as_the_faster_precision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "cpu_flags", lambda: {"avx512f", "avx512_bf16"})
    seconds = {precision: epoch(compiled(name, "all", f"precision={precision}")) for precision in PRECISIONS}
    passing = {precision: forward(compiled(name, "head").network, precision=precision) for precision in PRECISIONS}
    assert (seconds["bfloat16"] < seconds["float32"]) == (name == "vgg16")
    assert seconds["auto"] == min(seconds.values())
    assert passing["auto"] == min(passing.values())


def test_this_machine_is_measured() -> None:
    machine = measure_machine()
    assert 0 < machine.multiply_adds_per_second < math.inf
    assert 0 < machine.bytes_per_second < math.inf
    assert machine.memory > 0


def test_a_forecast_adds_up_and_views_take_a_pass_each(tiny: Path, finish: Callable[..., Any]) -> None:
    plain = compile_recipe(tiny, ["features=memory"])
    index = indexed(plain, finish)
    views = compile_recipe(tiny, ["features=memory", "augment={views: 3, flip: horizontal}"])
    whole_run, with_views = (forecast_run(plan, index, MACHINE) for plan in (plain, views))
    expected = whole_run.expected_seconds
    assert expected.all == expected.passes + expected.epochs + expected.evaluation
    assert expected.epochs == sum(phase.seconds for phase in whole_run.phases)
    ((one,), (three,)) = whole_run.passes, with_views.passes
    assert (one.images, three.images) == (24, 12 + 3 * 12)
    assert three.bytes == 2 * one.bytes
    assert three.multiply_adds == 2 * one.multiply_adds
    assert with_views.expected_seconds.epochs == expected.epochs


def test_copies_of_an_image_are_forecast_once_with_and_without_views(
    photos: Path, tmp_path: Path, finish: Callable[..., Any]
) -> None:
    folder = shutil.copytree(photos, tmp_path / "photos")
    shutil.copy(folder / "along" / "1.png", folder / "along" / "copy.png")
    recipe = write_tiny(tmp_path / "copies.yaml", folder)
    plain, views = (compile_recipe(recipe, overrides) for overrides in ([], ["augment={views: 3, flip: horizontal}"]))
    found = [forecast_run(plan, indexed(plan, finish), MACHINE) for plan in (plain, views)]
    assert [done.images for forecast in found for done in forecast.passes] == [24, 12 + 3 * 12]


def test_augmentation_without_views_and_features_off_repeat_the_frozen_layers(
    tiny: Path, finish: Callable[..., Any]
) -> None:
    def forecast(*overrides: str) -> tuple[Any, Any]:
        """What a run takes, and what it would take without validating."""
        plan = compile_recipe(tiny, overrides)
        index = indexed(plan, finish)
        unvalidated = ["test" if split == "validation" else split for split in index.splits]
        return tuple(
            forecast_run(plan, dataclasses.replace(index, splits=tuple(splits)), MACHINE)
            for splits in (index.splits, unvalidated)
        )

    kept, augmented, off = forecast(), forecast("augment={flip: horizontal}"), forecast("features=off")
    assert not off[0].passes
    for whole_run, _ in (augmented, off):
        assert all(starts_from_images(phase) for phase in whole_run.phases)
        assert whole_run.expected_seconds.epochs > kept[0].expected_seconds.epochs
    assert augmented[1].phases[0].seconds_per_epoch > off[1].phases[0].seconds_per_epoch
    validating, with_augmentation, without_store = (
        whole_run.phases[0].seconds_per_epoch - training.phases[0].seconds_per_epoch
        for whole_run, training in (kept, augmented, off)
    )
    assert with_augmentation == pytest.approx(validating)
    assert without_store > 2 * validating


def test_without_a_place_there_is_no_pass(
    tiny: Path, finish: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = compile_recipe(tiny, ["evaluate.linear_probe=true"])
    index = indexed(plan, finish)
    kept = forecast_run(plan, index, MACHINE)
    monkeypatch.setattr(forecasts, "choose_place", lambda *_: Place("nowhere", "nowhere, since there is no room"))
    found = forecast_run(plan, index, MACHINE)
    assert found.expected_seconds.passes == 0
    assert all(starts_from_images(phase) for phase in found.phases)
    assert found.expected_seconds.epochs > kept.expected_seconds.epochs
    assert found.expected_seconds.evaluation > kept.expected_seconds.evaluation


@pytest.mark.usefixtures("tiny_and_small")
def test_a_run_keeps_what_was_forecast(tiny: Path, tmp_path: Path, finish: Callable[..., Any]) -> None:
    overrides = [
        "augment={views: 2, flip: horizontal}",
        "features=memory",
        "features_dtype=float16",
        "evaluate.linear_probe=true",
        "phases=[{trainable: block2a_dwconv.., lr: 0.01, epochs: 1}, {trainable: head, lr: 0.01, epochs: 1}]",
    ]
    plan = compile_recipe(tiny, overrides)
    forecast = forecast_run(plan, indexed(plan, finish), MACHINE)
    (tmp_path / "run").mkdir()
    _, events = finish(run(plan, tmp_path / "run"))
    kept = [event for event in events if isinstance(event, FeaturesKept)]
    assert [(event.size, event.computed, event.place) for event in kept] == [
        (done.bytes, done.images, done.place.reason) for done in forecast.passes
    ]
    assert [set(event.layers) for event in kept] == [{tensor.layer for tensor in done.kept} for done in forecast.passes]
