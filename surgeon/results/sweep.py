"""What a sweep came to: its trials, the best of them, and what they say of the values that were varied."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from surgeon.results.probe import standard_error
from surgeon.results.run import Spread

SWEEP_VERSION = 1  # of the format of a sweep's files


@dataclass(frozen=True)
class TrialPhase:
    """A phase of a trial.

    Attributes:
        best_epoch: The epoch whose weights it ends with, if they were restored; 0 if it ends as it began.
        history: For each figure its value per epoch.
        start: ``val_loss`` and ``val_accuracy`` before the first epoch, where they count for how it ends.
    """

    name: str
    best_epoch: int | None
    history: Mapping[str, tuple[float, ...]]
    start: Mapping[str, float] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """How many were trained."""
        return len(self.history["loss"])

    def at_end(self, figure: str) -> float:
        """Returns a figure of the network that the phase ends with."""
        epoch = self.epochs if self.best_epoch is None else self.best_epoch
        return self.history[figure][epoch - 1] if epoch else self.start[figure]


@dataclass(frozen=True)
class Trial:
    """A recipe that a sweep tried.

    Attributes:
        number: From 1.
        values: What was varied, by its path, and the value here.
        recipe: The resolved recipe.
        state: ``finished``; ``pruned`` if it was ended early; ``failed``; ``duplicate`` if its recipe is that of an
            earlier trial, which was not trained twice.
        objective: Its final value, for a pruned trial the latest one; None if it failed.
        folds: The same of each fold; without folds of the one split.
        reason: Why it failed or was pruned, or of which trial it is a duplicate; empty if it finished.
        phases: What was trained, on the first fold; no phase of a duplicate.
        together: How many trials its last phase was trained with in one step, itself among them.
        seconds: Time it took; for steps made together with other trials, its share.
        ended: Seconds of work of the sweep until it was known.
    """

    number: int
    values: Mapping[str, Any]
    recipe: Mapping[str, Any]
    state: str
    objective: float | None
    folds: tuple[float, ...] = ()
    reason: str = ""
    phases: tuple[TrialPhase, ...] = ()
    together: int = 1
    seconds: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class FinalResult:
    """The best recipe, trained with some seeds and measured on the test images.

    Attributes:
        runs: Folders of the runs, within the sweep's.
        figures: ``accuracy``, ``macro_f1`` and ``weighted_f1`` over the runs.
    """

    runs: tuple[str, ...]
    figures: Mapping[str, Spread]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Attributes:
        name: Of the recipe.
        objective: ``val_accuracy`` or ``val_loss``.
        images: How many different validation images it is measured on.
        folds: Into how many parts training and validation images were divided; 1 if they were not.
        method: How trials were proposed.
        pruning: How trials were ended early.
        trials: By number, those that ended.
        importances: How much of the differences each varied value explains, by its path, from 0 to 1, the largest
            first; empty where there are too few trials.
        seconds: Wall time of all processes that worked on it.
        stopped: Why there were not more trials; empty if all were made.
        final: What the best recipe came to on the test images, if that was asked for.
        own: Number of the trial that is the recipe itself; 0 if none is, None in sweeps of older versions.
    """

    name: str
    objective: str
    images: int
    folds: int
    method: str
    pruning: str
    trials: tuple[Trial, ...]
    importances: Mapping[str, float]
    seconds: float
    stopped: str = ""
    final: FinalResult | None = None
    own: int | None = None

    @property
    def is_maximized(self) -> bool:
        """Whether more is better."""
        return self.objective == "val_accuracy"

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The finished trials, the best first; the earlier one of two that are level."""
        finished = [trial for trial in self.trials if trial.state == "finished" and trial.objective is not None]
        sign = -1.0 if self.is_maximized else 1.0
        return tuple(sorted(finished, key=lambda trial: (sign * (trial.objective or 0.0), trial.number)))

    @cached_property
    def best(self) -> Trial | None:
        """The best finished trial; None if none finished."""
        return next(iter(self.ranked), None)

    @property
    def explained(self) -> Mapping[str, float]:
        """The importances; none if no trial is further than a standard error from the best, which explains nothing."""
        if self.best is None or self.standard_error is None:
            return self.importances
        objectives = [trial.objective or 0.0 for trial in self.ranked]
        return self.importances if max(objectives) - min(objectives) > self.standard_error else {}

    @property
    def standard_error(self) -> float | None:
        """Of the objective of the best trial; None for a loss without folds, of which it is not known.

        It is that of a part of the validation images and, with folds, of a mean over them. That the best of many was
        chosen makes it look better than it is besides.
        """
        if self.best is None:
            return None
        over_folds = statistics.stdev(self.best.folds) / math.sqrt(self.folds) if len(self.best.folds) > 1 else None
        if not self.is_maximized:
            return over_folds
        return max(standard_error(self.best.objective or 0.0, self.images), over_folds or 0.0)
