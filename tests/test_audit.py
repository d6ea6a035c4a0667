"""The freeze audit passes what a phase does, and finds every fault that is planted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surgeon.errors import SurgeonError
from surgeon.model.freezing import set_trainable
from surgeon.model.surgery import build_network
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.plan import Plan
from surgeon.training import phase as phases
from surgeon.training.audit import begin_audit, end_audit
from surgeon.training.runner import run

TUNED = "phases=[{trainable: block2a_dwconv.., batch_norm: train, optimizer: sgd, lr: 0.01, epochs: 1}]"


@pytest.fixture
def tuned(tiny: Path) -> tuple[Plan, Any]:
    """A phase that trains a few layers, BatchNormalization's statistics included, and its network."""
    plan = compile_recipe(tiny, [TUNED])
    network = build_network(plan)
    set_trainable(network, plan.phases[0])
    return plan, network


def change(network: Any, layer: str, variable: int) -> str:
    """Changes one number of a variable of a layer by the least step."""
    weight = network.get_layer(layer).weights[variable]
    values = weight.numpy()
    values.flat[-1] += 1e-6 + abs(values.flat[-1]) * 1e-6
    weight.assign(values)
    return str(weight.path)


def train(network: Any) -> None:
    for layer in network.layers:
        for at, _ in enumerate(layer.trainable_weights):
            change(network, layer.name, at)


def test_a_phase_that_does_what_it_should_passes(tuned: tuple[Plan, Any]) -> None:
    plan, network = tuned
    (phase,) = plan.phases
    before = begin_audit(network, plan.network, phase)
    train(network)
    change(network, "block2a_bn", 2)  # its statistics may move, and need not
    audit = end_audit(network, before, phase)
    assert audit.trained_layers == len(phase.trainable)
    assert audit.frozen_layers == sum(bool(layer.weights) for layer in network.layers) - len(phase.trainable)


@pytest.mark.parametrize(("layer", "variable"), [("block1a_dwconv", 0), ("stem_bn", 0), ("stem_bn", 3)])
def test_a_frozen_variable_that_moved_is_named(layer: str, variable: int, tuned: tuple[Plan, Any]) -> None:
    plan, network = tuned
    before = begin_audit(network, plan.network, plan.phases[0])
    train(network)
    path = change(network, layer, variable)
    with pytest.raises(SurgeonError, match=rf"changed what was frozen: {path};"):
        end_audit(network, before, plan.phases[0])


def test_statistics_may_not_move_in_inference_mode(tiny: Path) -> None:
    plan = compile_recipe(tiny, [TUNED.replace("batch_norm: train, ", "")])
    network = build_network(plan)
    set_trainable(network, plan.phases[0])
    before = begin_audit(network, plan.network, plan.phases[0])
    train(network)
    path = change(network, "block2a_bn", 2)
    with pytest.raises(SurgeonError, match=path):
        end_audit(network, before, plan.phases[0])


def test_a_trained_layer_that_stayed_is_named(tuned: tuple[Plan, Any]) -> None:
    plan, network = tuned
    before = begin_audit(network, plan.network, plan.phases[0])
    for name in set(plan.phases[0].trainable) - {"block2a_bn"}:
        change(network, name, 0)
    with pytest.raises(SurgeonError, match=r"trained, but did not change: block2a_bn;"):
        end_audit(network, before, plan.phases[0])
    beta = change(network, "block2a_bn", 1)
    audit = end_audit(network, before, plan.phases[0])
    assert beta.replace("beta", "gamma") in audit.unmoved
    assert beta not in audit.unmoved


@pytest.mark.parametrize(("layer", "trainable"), [("block1a_dwconv", True), ("head_dense", False)])
def test_trainable_that_was_flipped_is_found_before_training(
    layer: str, trainable: bool, tuned: tuple[Plan, Any]
) -> None:
    plan, network = tuned
    network.get_layer(layer).trainable = trainable
    with pytest.raises(SurgeonError, match=rf"would not train what its recipe says: {layer} has [\d,]+ of [\d,]+"):
        begin_audit(network, plan.network, plan.phases[0])


@pytest.mark.usefixtures("tiny_and_small")
def test_a_run_with_a_step_that_goes_astray_fails(
    tiny: Path, tmp_path: Path, finish: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_step(setup: Any, *arguments: Any) -> Any:
        step = original(setup, *arguments)

        def stray(*batch: Any) -> Any:
            change(setup.network, "stem_bn", 1)
            return step(*batch)

        return stray

    original = phases._build_step
    monkeypatch.setattr(phases, "_build_step", build_step)
    (tmp_path / "run").mkdir()
    with pytest.raises(SurgeonError, match=r"'warm-up' changed what was frozen: stem_bn/beta"):
        finish(run(compile_recipe(tiny), tmp_path / "run"))
