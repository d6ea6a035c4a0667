"""What was found out about from where to train."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from surgeon.results.probe import standard_error


@dataclass(frozen=True)
class DepthResult:
    """What training from one layer on came to.

    Attributes:
        start: The first layer that is trained, as a selector for ``trainable``; ``head`` for the head alone.
        index: Its index.
        parameters: How many are trained.
        accuracies: For each learning rate the validation accuracy after the last epoch, from 0 to 1, with each seed;
            None where training diverged.
        seconds: Of an epoch, the mean over all trials that did not diverge; 0.0 if all did.
        gradient: The norm of the gradient of the block that begins here, relative to that of its weights, after the
            warm-up; None for the head alone.
    """

    start: str
    index: int
    parameters: int
    accuracies: Mapping[float, tuple[float | None, ...]]
    seconds: float
    gradient: float | None

    @cached_property
    def rate(self) -> float:
        """The learning rate with the highest mean accuracy."""
        return max(self.accuracies, key=lambda rate: _mean(self.accuracies[rate]))

    @property
    def accuracy(self) -> float:
        """The mean over seeds at that rate; 0.0 if training diverged there, and so at all rates."""
        return _mean(self.accuracies[self.rate])

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds at that rate; None for a single one."""
        values = [value or 0.0 for value in self.accuracies[self.rate]]
        return statistics.stdev(values) if len(values) > 1 else None


def _mean(accuracies: Sequence[float | None]) -> float:
    """Returns a mean in which whatever diverged has found nothing."""
    return statistics.fmean(value or 0.0 for value in accuracies)


@dataclass(frozen=True)
class DepthSearchResult:
    """Training from several layers on, each for the same epochs after the same warm-up.

    Attributes:
        phase: The recipe's phase whose optimizer and schedule were used.
        epochs: Of each trial.
        images: How many different ones the accuracy is measured on.
        depths: From the head alone to all layers.
    """

    phase: str
    epochs: int
    images: int
    depths: tuple[DepthResult, ...]

    @cached_property
    def best(self) -> DepthResult:
        """The depth with the highest accuracy; the shallowest of several."""
        return max(self.depths, key=lambda depth: depth.accuracy)

    @property
    def standard_error(self) -> float:
        """Of the accuracy of the best depth: that of a part of the validation images, and that of a mean over seeds."""
        seeds = len(self.best.accuracies[self.best.rate])
        return math.hypot(standard_error(self.best.accuracy, self.images), (self.best.spread or 0.0) / math.sqrt(seeds))

    @cached_property
    def suggested(self) -> DepthResult:
        """The depth that trains the fewest layers and is within a standard error of the best one."""
        least = self.best.accuracy - self.standard_error
        return next(depth for depth in self.depths if depth.accuracy >= least)

    @cached_property
    def by_gradient(self) -> DepthResult:
        """The depth whose first block has the largest relative gradient, which a single epoch tells."""
        return max(self.depths, key=lambda depth: depth.gradient or 0.0)
