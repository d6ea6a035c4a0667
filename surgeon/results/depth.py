"""What was found out about from where to train."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class DepthResult:
    """What training from one layer on came to.

    Attributes:
        start: The first layer that is trained, as a selector for ``trainable``; ``head`` for the head alone.
        index: Its index.
        parameters: How many are trained.
        accuracies: For each learning rate the validation accuracy after the last epoch, from 0 to 1, with each seed;
            None where training diverged.
        seconds: Of an epoch, the mean over all trials.
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
    def rate(self) -> float | None:
        """The learning rate with the highest mean accuracy; None if training diverged at all of them."""
        whole = {rate: mean for rate, values in self.accuracies.items() if (mean := _mean(values)) is not None}
        return max(whole, key=whole.__getitem__) if whole else None

    @property
    def accuracy(self) -> float:
        """The mean over seeds at that rate; 0.0 if there is none."""
        return 0.0 if self.rate is None else _mean(self.accuracies[self.rate]) or 0.0

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds at that rate; None for a single one."""
        values = [] if self.rate is None else [value for value in self.accuracies[self.rate] if value is not None]
        return statistics.stdev(values) if len(values) > 1 else None


def _mean(values: tuple[float | None, ...]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.fmean(found) if len(found) == len(values) else None


@dataclass(frozen=True)
class DepthSearch:
    """Training from several layers on, each for the same epochs from the same warm head.

    Attributes:
        phase: The recipe's phase whose optimizer and schedule were used.
        epochs: Of each trial.
        images: How many the accuracy is measured on.
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
        """Of the accuracy of the best depth, as that of a part of the validation images."""
        return math.sqrt(self.best.accuracy * (1 - self.best.accuracy) / self.images)

    @cached_property
    def suggested(self) -> DepthResult:
        """The depth that trains the fewest layers and is within a standard error of the best one."""
        least = self.best.accuracy - self.standard_error
        return next(depth for depth in self.depths if depth.accuracy >= least)

    @cached_property
    def by_gradient(self) -> DepthResult:
        """The depth whose first block has the largest relative gradient, which a single epoch tells."""
        return max(self.depths, key=lambda depth: depth.gradient or 0.0)
