"""When a phase may end before its last epoch, as Keras' ``EarlyStopping`` decides it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surgeon.recipe.plan import UntilPlan


class EarlyStopping:
    """Watches one figure of a phase and keeps the weights of its best epoch."""

    def __init__(self, until: UntilPlan, model: Any) -> None:
        self.until = until
        self.model = model
        self.best_epoch = 0
        self._best: float | None = None
        self._weights: list[Any] = []

    def is_over(self, epoch: int, figures: Mapping[str, float]) -> bool:
        """Takes in an epoch's figures and tells whether ``patience`` epochs brought no improvement."""
        sign = 1.0 if self.until.monitor.endswith("accuracy") else -1.0
        value = sign * figures[self.until.monitor]
        if self._best is None or value > self._best + self.until.min_delta:
            self._best, self.best_epoch = value, epoch
            if self.until.restore_best:
                self._weights = self.model.get_weights()
        return epoch - self.best_epoch >= self.until.patience

    def restore(self) -> int | None:
        """Gives the model the best epoch's weights; returns that epoch, or None if they are not to be restored."""
        if not self.until.restore_best:
            return None
        self.model.set_weights(self._weights)
        return self.best_epoch
