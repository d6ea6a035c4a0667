"""Schedules of the learning rate. Recipes count in epochs; the builders turn that into steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surgeon.catalogue.entry import Entry, Misfit, Parameters, PhaseLength, choice, integer, number, table

History = Mapping[str, Sequence[float]]

MONITORS = ("val_loss", "val_accuracy", "loss", "accuracy")  # figures of an epoch


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(Entry):
    """A schedule.

    Attributes:
        build: ``build(parameters, steps_per_epoch, epochs)`` returns a float or a Keras schedule.
        rate_after: ``rate_after(parameters, history)`` returns the rate of the next epoch, for a schedule that follows
            the figures of those before it; what it builds is a float then, the first rate.
        misfits: Yields what cannot act in a phase of that length.
    """

    build: Callable[[Parameters, int, int], Any]
    rate_after: Callable[[Parameters, History], float] | None = None
    misfits: Callable[[Parameters, PhaseLength], Iterator[Misfit]] = lambda parameters, phase: iter(())


def _constant(parameters: Parameters, steps_per_epoch: int, epochs: int) -> float:
    return float(parameters["value"])


def _cosine(parameters: Parameters, steps_per_epoch: int, epochs: int) -> Any:
    import keras

    warmup = round(parameters["warmup_epochs"] * steps_per_epoch)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else parameters["peak"],
        decay_steps=max(1, steps_per_epoch * epochs - warmup),
        alpha=parameters["final"] / parameters["peak"],
        warmup_target=parameters["peak"] if warmup else None,
        warmup_steps=warmup,
    )


def _cosine_misfits(parameters: Parameters, phase: PhaseLength) -> Iterator[Misfit]:
    warmup = parameters["warmup_epochs"]
    if _start(warmup, phase) >= _end(phase):
        message = f"a warm-up of {warmup:g} epochs in a phase of {phase}: the peak is never reached"
        yield Misfit("warmup_epochs", message, "warm up for less than the phase, or train for more epochs")
    if parameters["final"] > parameters["peak"]:
        message = f"the rate at the end, {parameters['final']:g}, is above the peak, {parameters['peak']:g}"
        yield Misfit("final", message, "a cosine falls: swap the two, or give the highest rate as the peak")


def _start(epoch: float, phase: PhaseLength) -> float:
    """Returns the step at which an epoch is over, or the epoch itself while the steps of one are unknown."""
    return epoch if phase.steps_per_epoch is None else round(epoch * phase.steps_per_epoch)


def _end(phase: PhaseLength) -> int:
    return phase.epochs if phase.steps is None else phase.steps


def _exponential(parameters: Parameters, steps_per_epoch: int, epochs: int) -> Any:
    import keras

    return keras.optimizers.schedules.ExponentialDecay(
        initial_learning_rate=parameters["initial"],
        decay_steps=steps_per_epoch,
        decay_rate=parameters["factor"],
    )


def _piecewise(parameters: Parameters, steps_per_epoch: int, epochs: int) -> Any:
    import keras

    # Keras moves on after the boundary's step, so the last step before an epoch is the boundary.
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        boundaries=[round(epoch * steps_per_epoch) - 1 for epoch in parameters["epochs"]],
        values=[float(value) for value in parameters["values"]],
    )


def _piecewise_misfits(parameters: Parameters, phase: PhaseLength) -> Iterator[Misfit]:
    values, epochs = parameters["values"], parameters["epochs"]
    if len(values) != len(epochs) + 1:
        message = f"expected one more value than epochs, found {len(values)} values and {len(epochs)} epochs"
        yield Misfit("values", message, "each epoch stands between two values")
    if sorted(set(epochs)) != epochs:
        yield Misfit("epochs", "epochs have to ascend", "put them, and the values between them, in order")
        return
    for before, epoch in itertools.pairwise((0, *epochs)):
        if _start(epoch, phase) >= _end(phase):
            message = f"the rate after epoch {epoch:g} never applies in a phase of {phase}"
            yield Misfit("epochs", message, "change it before the phase ends, or train for more epochs")
            return
        if _start(before, phase) == _start(epoch, phase):
            message = f"no step lies between {before:g} and {epoch:g} in a phase of {phase}"
            yield Misfit("epochs", message, "leave out the rate that never applies")


def _one_cycle(parameters: Parameters, steps_per_epoch: int, epochs: int) -> Any:
    """Leslie N. Smith, "A disciplined approach to neural network hyper-parameters" (arXiv 1803.09820).

    Both halves are cosines, as in PyTorch's ``OneCycleLR``: the warm-up of Keras' own decay is linear.
    """
    import keras
    from keras import ops

    peak, steps = float(parameters["peak"]), steps_per_epoch * epochs
    rise = max(1.0, parameters["rise"] * steps)
    start, end = peak / parameters["initial_divisor"], peak / parameters["final_divisor"]

    class OneCycle(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            step = ops.cast(step, "float32")
            up = ops.clip(step / rise, 0.0, 1.0)
            down = ops.clip((step - rise) / max(1.0, steps - 1 - rise), 0.0, 1.0)
            return ops.where(step < rise, _cosine_between(start, peak, up), _cosine_between(peak, end, down))

    def _cosine_between(first: float, last: float, part: Any) -> Any:
        return last + (first - last) * 0.5 * (1.0 + ops.cos(3.141592653589793 * part))

    return OneCycle()


def _one_cycle_misfits(parameters: Parameters, phase: PhaseLength) -> Iterator[Misfit]:
    if phase.steps is not None and parameters["rise"] * phase.steps > phase.steps - 1:
        message = f"the rate rises until the last step of a phase of {phase}: the peak is never reached"
        yield Misfit("rise", message, "lower it, or train for more epochs")


def _plateau(parameters: Parameters, steps_per_epoch: int, epochs: int) -> float:
    return float(parameters["initial"])


def _rate_after_plateaus(parameters: Parameters, history: History) -> float:
    """Returns the rate that Keras' ``ReduceLROnPlateau`` leaves after the epochs of a history."""
    sign = 1.0 if parameters["monitor"].endswith("accuracy") else -1.0
    rate, best, waited = float(parameters["initial"]), -float("inf"), 0
    for value in history.get(parameters["monitor"], ()):
        waited += 1
        if sign * value > best + parameters["min_delta"]:
            best, waited = sign * value, 0
        elif waited >= parameters["patience"]:
            rate, waited = max(rate * parameters["factor"], parameters["min_lr"]), 0
    return rate


def _plateau_misfits(parameters: Parameters, phase: PhaseLength) -> Iterator[Misfit]:
    patience = parameters["patience"]
    if patience + 2 > phase.epochs:  # the first epoch is the best so far, and one has to follow
        message = f"after {patience} epochs without improvement a phase of {phase} is over: the rate never falls"
        yield Misfit("patience", message, "wait for fewer, or train for more epochs")
    if parameters["min_lr"] >= parameters["initial"]:
        message = f"the least rate, {parameters['min_lr']:g}, is not below the first, {parameters['initial']:g}"
        yield Misfit("min_lr", message, "lower it, or leave it out")


_RATE = {"exclusiveMinimum": 0}

SCHEDULES = table(
    ScheduleSpec(
        name="constant",
        summary="The same rate throughout; a bare number means this.",
        parameters={"value": number("The learning rate.", exclusiveMinimum=0)},
        required=("value",),
        shorthand="value",
        build=_constant,
    ),
    ScheduleSpec(
        name="cosine",
        summary="A linear warm-up, then a decay along half a cosine.",
        parameters={
            "peak": number("The highest rate.", exclusiveMinimum=0),
            "final": number("The rate at the end.", 0.0, minimum=0),
            "warmup_epochs": number("Epochs of linear warm-up from 0.", 0.0, minimum=0),
        },
        required=("peak",),
        shorthand="peak",
        build=_cosine,
        misfits=_cosine_misfits,
    ),
    ScheduleSpec(
        name="exponential",
        summary="Decays smoothly by the same factor each epoch.",
        parameters={
            "initial": number("The rate at the start.", exclusiveMinimum=0),
            "factor": number("Factor per epoch.", 0.9, exclusiveMinimum=0, maximum=1),
        },
        required=("initial",),
        shorthand="initial",
        build=_exponential,
    ),
    ScheduleSpec(
        name="piecewise",
        summary="Constant rates that change after the given epochs.",
        parameters={
            "values": {
                "description": "The rates, one more than `epochs`.",
                "type": "array",
                "minItems": 2,
                "items": {"type": "number", **_RATE},
            },
            "epochs": {
                "description": "The epochs after which the next rate applies, ascending.",
                "type": "array",
                "minItems": 1,
                "items": {"type": "number", **_RATE},
            },
        },
        required=("values", "epochs"),
        build=_piecewise,
        misfits=_piecewise_misfits,
    ),
    ScheduleSpec(
        name="one_cycle",
        summary="Rises to the peak, then falls far below the initial rate, both along a cosine.",
        parameters={
            "peak": number("The highest rate.", exclusiveMinimum=0),
            "rise": number("Fraction of the steps that go up.", 0.3, exclusiveMinimum=0, exclusiveMaximum=1),
            "initial_divisor": number("The peak divided by the first rate.", 25.0, minimum=1),
            "final_divisor": number("The peak divided by the last rate.", 10000.0, minimum=1),
        },
        required=("peak",),
        shorthand="peak",
        build=_one_cycle,
        misfits=_one_cycle_misfits,
    ),
    ScheduleSpec(
        name="plateau",
        summary="Multiplied by a factor when a figure no longer improves, as by Keras' `ReduceLROnPlateau`.",
        parameters={
            "initial": number("The rate at the start.", exclusiveMinimum=0),
            "factor": number("Factor applied at each plateau.", 0.1, exclusiveMinimum=0, exclusiveMaximum=1),
            "patience": integer("Epochs without improvement before it falls.", 10, minimum=1),
            "monitor": choice("The figure to watch.", MONITORS, "val_loss"),
            "min_delta": number("The smallest change that counts as an improvement.", 1e-4, minimum=0),
            "min_lr": number("Lower bound of the rate.", 0.0, minimum=0),
        },
        required=("initial",),
        shorthand="initial",
        build=_plateau,
        rate_after=_rate_after_plateaus,
        misfits=_plateau_misfits,
    ),
)


def highest_rate(name: str, parameters: Parameters) -> float:
    """Returns the highest learning rate of a schedule."""
    main = SCHEDULES[name].shorthand
    return float(max(parameters["values"]) if main is None else parameters[main])


def with_highest_rate(name: str, parameters: Parameters, rate: float) -> dict[str, Any]:
    """Returns the parameters of a schedule with another highest learning rate; all its rates change by one factor."""
    factor = rate / highest_rate(name, parameters)
    rates = {SCHEDULES[name].shorthand, "final", "values", "min_lr"} & parameters.keys()
    return {key: _times(value, factor) if key in rates else value for key, value in parameters.items()}


def for_part(parameters: Parameters, part: float) -> dict[str, Any]:
    """Returns the parameters of a schedule for a part of its phase; what they count in epochs is as much shorter."""
    in_epochs = {"warmup_epochs", "epochs"} & parameters.keys()
    return {key: _times(value, part) if key in in_epochs else value for key, value in parameters.items()}


def _times(numbers: Any, factor: float) -> Any:
    return [factor * number for number in numbers] if isinstance(numbers, list) else factor * numbers
