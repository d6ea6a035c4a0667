"""What was found out about a phase's learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


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

    @property
    def suggested(self) -> float | None:
        """A tenth of the rate at which the smoothed loss is least, where it still falls.

        None if the loss only rises, only falls, or falls by less than a twentieth: then its least value says nothing.
        None, too, if that would be a rate below those that were tried.
        """
        falls = min(self.smoothed) < 0.95 * self.smoothed[0]
        is_known = self.lowest / 10 >= self.rates[0] and self.lowest != self.rates[-1]
        return self.lowest / 10 if falls and is_known else None
