"""Precision over recall, class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import precision_recall_curve

from surgeon.results.use import ClassCurve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_POINTS = 100  # of a curve


def class_curves(
    probabilities: NDArray[np.float32], labels: NDArray[np.intp], classes: Sequence[str]
) -> tuple[ClassCurve, ...]:
    """Returns precision over recall of each class that has an image, against all others, by a hundred points."""
    curves = []
    for number in np.unique(labels):
        precision, recall, _ = precision_recall_curve(
            labels == number, probabilities[:, number], drop_intermediate=True
        )
        average = float(-np.sum(np.diff(recall) * precision[:-1]))  # as scikit-learn's average_precision_score
        kept = np.unique(np.linspace(0, len(recall) - 1, _POINTS).astype(int))
        curves.append(
            ClassCurve(classes[number], average, tuple(recall[kept].tolist()), tuple(precision[kept].tolist()))
        )
    return tuple(curves)
