"""Where values lie along the axis of a chart, whatever they are: numbers, near or far apart, or anything else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from surgeon.report.trials import value_text

_FAR = 20  # times the least: numbers that spread so far lie on a logarithmic axis
_FEW = 6  # numbers that are named; of far ones with a 0, which has no logarithm, nothing but the names is shown
_TICKS = 12
_ROOM = 0.04  # at either end


@dataclass(frozen=True)
class Axis:
    """An axis of numbers.

    Attributes:
        low: Where it begins.
        high: Where it ends.
        is_log: Whether equal steps are equal factors.
        is_whole: Whether whole numbers alone are written beside it.
        named: The numbers that are written beside it; none if round ones are.
    """

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False
    named: tuple[float, ...] = ()

    def place(self, value: Any) -> float:
        """Returns where a number lies, from 0 to 1; at an end, if it lies beyond it."""
        low, high, at = (math.log(number) if self.is_log else number for number in (self.low, self.high, value))
        return min(max((at - low) / (high - low), 0.0), 1.0)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places, from 0 to 1, and what is written there."""
        return [(self.place(number), value_text(float(number))) for number in self.named or self._round()]

    def _round(self) -> list[float]:
        if not self.is_log:
            round_ones = _round_numbers(self.low, self.high)
            return [number for number in round_ones if not self.is_whole or number == int(number)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        factors = (1, 2, 5) if len(decades) <= 3 else (1,)
        inside = [part * 10.0**decade for decade in decades for part in factors]
        inside = [number for number in inside if self.low <= number * (1 + 1e-9) and number <= self.high * (1 + 1e-9)]
        return inside[:: math.ceil(len(inside) / _TICKS)]


@dataclass(frozen=True)
class Categories:
    """An axis of values that are told apart and no more; ``names`` has them in order."""

    names: tuple[str, ...]
    _at: Mapping[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at = {name: (number + 0.5) / len(self.names) for number, name in enumerate(self.names)}
        object.__setattr__(self, "_at", at)

    def place(self, value: Any) -> float:
        """Returns where one of the values lies, from 0 to 1."""
        return self._at[value_text(value)]

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places, from 0 to 1, and what is written there; of many values only some are named."""
        return [(self._at[name], name) for name in self.names[:: math.ceil(len(self.names) / _TICKS)]]


def value_axis(values: Sequence[Any]) -> Axis | Categories:
    """Returns an axis on which each of some values has a place."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return Categories(tuple(sorted({value_text(value) for value in values}, key=_sorted_by)))
    numbers = sorted({float(value) for value in values})
    positive = [number for number in numbers if number > 0]
    is_far = len(positive) > 1 and positive[-1] >= _FAR * positive[0]
    named = tuple(numbers) if len(numbers) <= _FEW else ()
    if is_far and len(positive) == len(numbers):
        room = (numbers[-1] / numbers[0]) ** _ROOM
        return Axis(numbers[0] / room, numbers[-1] * room, is_log=True, named=named)
    if is_far and named:
        return Categories(tuple(dict.fromkeys(map(value_text, sorted(values)))))
    return replace(number_axis(numbers), named=named)


def number_axis(numbers: Iterable[float], *, is_whole: bool = False) -> Axis:
    """Returns a linear axis with a little room around some numbers."""
    every = list(numbers)
    low, high = min(every), max(every)
    room = _ROOM * (high - low) or abs(low) / 10 or 1.0
    return Axis(low - room, high + room, is_whole=is_whole)


def _sorted_by(name: str) -> tuple[bool, float, str]:
    """Returns what sorts numbers before names."""
    try:
        return False, float(name), ""
    except ValueError:
        return True, 0.0, name


def _round_numbers(low: float, high: float) -> list[float]:
    """Returns some numbers between two, three to eight, a round step apart."""
    rough = (high - low) / 8
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(part * power for part in (1, 2, 5, 10) if part * power >= rough * 0.999)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
