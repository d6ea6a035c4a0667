"""What several rounds of a measurement came to."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outcome import spell

Round = Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """The median of some values, the lowest and the highest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return spell(self.median)
        return f"{spell(self.median)} ({spell(self.low)} to {spell(self.high)})"


def over(rounds: Sequence[Round], name: str, against: str | None = None) -> Spread:
    """Returns what a figure came to over all rounds.

    Args:
        rounds: Each with the same figures.
        name: Of the figure.
        against: Another figure, by whose value in the same round it is divided.
    """
    values = [each[name] / (each[against] if against else 1.0) for each in rounds]
    return Spread(statistics.median(values), min(values), max(values))


def rounds_taken(count: int) -> str:
    """Returns the remark on how many rounds there were."""
    if count == 1:
        return "One round, so there are no ranges."
    return f"Medians of {count} rounds with the range in brackets; ratios are taken within a round."


def at_most(what: str, found: Spread, wanted: float) -> str:
    """Returns a remark on a figure that is not to exceed a value; its median counts."""
    return _aim(what, found, f"at most {wanted:g}", found.median <= wanted)


def at_least(what: str, found: Spread, wanted: float) -> str:
    """Returns a remark on a figure that is not to fall short of a value; its median counts."""
    return _aim(what, found, f"at least {wanted:g}", found.median >= wanted)


def _aim(what: str, found: Spread, wanted: str, reached: bool) -> str:
    return f"{what}: {found}. The aim was {wanted}: {'reached' if reached else 'not reached'}."
