"""What was found out about a phase's learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

STILL_FALLS = "still falls at the highest rate"


@dataclass(frozen=True)
class LrRangeResult:
    """How the loss of a phase changes while its learning rate grows from step to step.

    Attributes:
        phase: Its name.
        number: Its number, from 1.
        rates: Of each step, ascending.
        losses: Of each step's images, before the step.
        smoothed: Exponential averages of the losses, bias corrected.
    """

    phase: str
    number: int
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    @cached_property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is least."""
        return self.rates[min(range(len(self.rates)), key=self.smoothed.__getitem__)]

    @cached_property
    def obstacle(self) -> str | None:
        """What the smoothed loss does instead of falling and rising, ``only rises`` or so; None if it does that.

        It ``only rises`` where a tenth of its lowest point is below the rates that were tried, and ``hardly falls`` by
        less than a twentieth: where it is least then says nothing.
        """
        if self.lowest == self.rates[-1]:
            return STILL_FALLS
        if self.lowest / 10 < self.rates[0]:
            return "only rises"
        return None if min(self.smoothed) < 0.95 * self.smoothed[0] else "hardly falls"

    @property
    def suggested(self) -> float | None:
        """A tenth of the rate at which the smoothed loss is least, where it still falls; None if there is no such."""
        return None if self.obstacle else self.lowest / 10
