"""When a phase may end before its last epoch, as Keras' ``EarlyStopping`` decides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgeon.recipe.plan import UntilPlan


def best_epoch(until: UntilPlan, history: Mapping[str, Sequence[float]]) -> int:
    """Returns the epoch, from 1, whose figure none behind it improves by ``min_delta``; 0 before the first."""
    sign = 1.0 if until.monitor.endswith("accuracy") else -1.0
    best, found = -float("inf"), 0
    for epoch, value in enumerate(history.get(until.monitor, ()), start=1):
        if not found or sign * value > best + until.min_delta:
            best, found = sign * value, epoch
    return found


def is_over(until: UntilPlan | None, history: Mapping[str, Sequence[float]]) -> bool:
    """Tells whether ``patience`` epochs brought no improvement."""
    if until is None:
        return False
    return len(history.get(until.monitor, ())) - best_epoch(until, history) >= until.patience
