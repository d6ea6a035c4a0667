"""Which images, and changed copies of them, go through the frozen layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surgeon.data.batches import Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from surgeon.recipe.plan import Plan

BATCH = 32  # images a call of the frozen layers


def needed_samples(plan: Plan, splits: Sequence[str]) -> Samples:
    """Returns everything that training and measuring will ask for, given the split of each image."""
    is_train = np.array([split == "train" for split in splits])
    unchanged = np.arange(len(splits)) if not plan.views or plan.uses_unchanged else np.flatnonzero(~is_train)
    images = [unchanged, *[np.flatnonzero(is_train)] * plan.views]  # of each view
    return Samples(np.concatenate(images), np.repeat(np.arange(plan.views + 1), list(map(len, images))))
