"""When a phase may end before its last epoch, as Keras' ``EarlyStopping`` decides it, and with which epoch it ends.

What a phase begins with counts as its epoch 0, so that none ends worse than it began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgeon.recipe.plan import UntilPlan


def best_epoch(until: UntilPlan, start: Mapping[str, float], history: Mapping[str, Sequence[float]]) -> int:
    """Returns the epoch, from 0, whose figure no later one improves by ``min_delta``.

    Args:
        until: Which figure.
        start: The figures before the first epoch; without the one that is asked for, the first epoch is better.
        history: The figures per epoch.
    """
    sign = _sign(until)
    best, found = sign * start[until.monitor] if until.monitor in start else -float("inf"), 0
    for epoch, value in enumerate(history.get(until.monitor, ()), start=1):
        if sign * value > best + until.min_delta:
            best, found = sign * value, epoch
    return found


def ending_epoch(
    until: UntilPlan | None, start: Mapping[str, float], history: Mapping[str, Sequence[float]]
) -> int | None:
    """Returns the epoch whose weights a phase ends with now, 0 for those that it began with; None for the last one."""
    if until is None:
        return None
    if until.restore_best:
        return best_epoch(until, start, history)
    is_worse = until.monitor in start and _sign(until) * (history[until.monitor][-1] - start[until.monitor]) < 0
    return 0 if is_worse else None


def _sign(until: UntilPlan) -> float:
    return 1.0 if until.monitor.endswith("accuracy") else -1.0


def is_over(until: UntilPlan | None, start: Mapping[str, float], history: Mapping[str, Sequence[float]]) -> bool:
    """Tells whether ``patience`` epochs brought no improvement."""
    if until is None:
        return False
    return len(history.get(until.monitor, ())) - best_epoch(until, start, history) >= until.patience
