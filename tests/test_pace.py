"""What a schedule or an optimizer says has to happen in the steps of its phase, or it is refused before training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from surgeon.catalogue.entry import PhaseLength
from surgeon.catalogue.optimizers import OPTIMIZERS, optimizer_class
from surgeon.catalogue.schedules import SCHEDULES
from surgeon.recipe.compiler import compile_recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LENGTHS = [PhaseLength(epochs, steps) for epochs in (1, 2, 3) for steps in (1, 2, 10)]


def rates(name: str, parameters: dict[str, Any], phase: PhaseLength) -> list[float]:
    """Returns the learning rate of each step of a phase."""
    schedule = SCHEDULES[name].build(parameters, phase.steps_per_epoch or 0, phase.epochs)
    return [float(schedule(step)) for step in range(phase.steps or 0)]


@pytest.mark.parametrize("phase", LENGTHS, ids=str)
@pytest.mark.parametrize("warmup", [0.0, 0.5, 0.95, 1.0, 1.95, 2.5])
def test_a_warm_up_is_refused_where_the_peak_is_never_reached(warmup: float, phase: PhaseLength) -> None:
    parameters = {"peak": 0.5, "final": 0.0, "warmup_epochs": warmup}
    reached = max(rates("cosine", parameters, phase)) == 0.5
    assert reached is not any(SCHEDULES["cosine"].misfits(parameters, phase))


@pytest.mark.parametrize("phase", LENGTHS, ids=str)
@pytest.mark.parametrize("epochs", [[0.01], [0.5], [1.0], [1.0, 2.0], [1.0, 1.05], [2.9]], ids=str)
def test_rates_are_refused_where_one_of_them_never_holds(epochs: list[float], phase: PhaseLength) -> None:
    parameters = {"epochs": epochs, "values": [0.5, 0.25, 0.125][: len(epochs) + 1]}
    hold = set(rates("piecewise", parameters, phase)) == set(parameters["values"])
    assert hold is not any(SCHEDULES["piecewise"].misfits(parameters, phase))


@pytest.mark.parametrize("phase", LENGTHS, ids=str)
@pytest.mark.parametrize("rise", [0.1, 0.5, 0.7, 0.99])
def test_a_cycle_is_refused_where_it_never_comes_down(rise: float, phase: PhaseLength) -> None:
    parameters = {"peak": 1.0, "rise": rise, "initial_divisor": 10.0, "final_divisor": 1000.0}
    found = rates("one_cycle", parameters, phase)
    turns = int(np.ceil(max(1.0, rise * len(found)))) < len(found)
    assert turns is not any(SCHEDULES["one_cycle"].misfits(parameters, phase))


@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_only_the_number_of_images_tells_is_said_before_training(
    command: str, surgeon: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    out = ["--out", tmp_path / "out"] if command == "run" else []
    outcome = surgeon(
        command, tiny, *out, "--set", "phases[1].optimizer={sgd: {gradient_accumulation_steps: 4}}", "--set", "seed=1"
    )
    # Twelve of the 24 images are trained on, in batches of 4.
    assert outcome.code == 2
    assert outcome.err.startswith(
        "--set phases[1].optimizer: phases[1].optimizer.sgd.gradient_accumulation_steps: an update takes 4 steps, more "
        "than a phase of 1 epoch (3 steps) has: no weight would change; accumulate fewer, lower data.batch_size"
    )


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_an_optimizer_takes_whole_numbers_and_the_bounds_of_its_parameters(name: str, tiny: Path) -> None:
    spec = OPTIMIZERS[name]
    bounds = {
        parameter: bound
        for parameter, schema in spec.parameters.items()
        if (bound := schema.get("minimum")) is not None and parameter != "gradient_accumulation_steps"
    }
    written = ", ".join(f"{parameter}: {bound}" for parameter, bound in bounds.items() if parameter != "ema_momentum")
    plan = compile_recipe(tiny, [f"phases[0].optimizer={{{name}: {{{written}}}}}", "phases[0].lr={cosine: 1}"])
    optimizer_class(spec)(learning_rate=0.1, **plan.phases[0].optimizer.parameters)
    assert rates("cosine", dict(plan.phases[0].lr.parameters), PhaseLength(1, 4))[2] == pytest.approx(0.5)
