"""Which images, and changed copies of them, go through the frozen layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from surgeon.recipe.plan import Plan

BATCH = 32  # images a call of the frozen layers


def needed_positions(plan: Plan, splits: Sequence[str]) -> NDArray[np.intp]:
    """Returns the positions of everything that training and measuring will ask for; see ``Examples``."""
    is_train = np.array([split == "train" for split in splits])
    as_they_are = np.arange(len(splits)) if not plan.views or plan.linear_probe else np.flatnonzero(~is_train)
    copies = len(splits) * np.arange(1, plan.views + 1)[:, None] + np.flatnonzero(is_train)
    return np.concatenate([as_they_are, copies.ravel()])
