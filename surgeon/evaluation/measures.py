"""How well classes were found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surgeon.results.run import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.results.run import Evaluation


def evaluate(
    split: str, labels: NDArray[np.integer], predicted: NDArray[np.integer], classes: tuple[str, ...]
) -> Evaluation:
    """Compares predicted class numbers with the true ones, both of shape (n,) with n at least 1."""
    pairs, counts = np.unique(np.stack([labels, predicted], axis=1), axis=0, return_counts=True)
    return measure(split, classes, zip(*pairs.T.tolist(), counts.tolist(), strict=True))
