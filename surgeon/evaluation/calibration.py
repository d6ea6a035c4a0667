"""How far probabilities can be believed, and how sure the measures of a test are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surgeon.results.use import Calibration, ClassCurve, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BINS = 10
_RESAMPLES = 2000
_TINY = 1e-12


def calibrate(probabilities: NDArray[np.float64], labels: NDArray[np.intp]) -> Calibration:
    """Compares confidence with accuracy (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        probabilities: Of shape (n, classes), rows that add up to 1.
        labels: The true class numbers, of shape (n,).

    Returns:
        The expected calibration error in ten bins of equal width, and the temperature that minimizes the negative
        log-likelihood of these same images.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import softmax

    logits = np.log(np.maximum(probabilities, _TINY))

    def loss(log_temperature: float) -> float:
        scaled = softmax(logits / np.exp(log_temperature), axis=1)
        return float(-np.log(np.maximum(scaled[np.arange(len(labels)), labels], _TINY)).mean())

    temperature = float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))
    error, bins = _calibration_error(probabilities, labels)
    after, _ = _calibration_error(softmax(logits / temperature, axis=1), labels)
    return Calibration(error=error, bins=bins, temperature=temperature, error_at_temperature=after)


def _calibration_error(
    probabilities: NDArray[np.float64], labels: NDArray[np.intp]
) -> tuple[float, tuple[tuple[float, float, int], ...]]:
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    bins = tuple(
        (float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for inside in (place == number for number in range(_BINS))
        if inside.any()
    )
    return sum(count * abs(sure - true) for sure, true, count in bins) / len(labels), bins


def bootstrap(labels: NDArray[np.intp], predicted: NDArray[np.intp]) -> dict[str, Interval]:
    """Returns 95 % intervals of accuracy and of the averages of F1, by 2,000 resamples of the images.

    Args:
        labels: The true class numbers, of shape (n,).
        predicted: The found ones.
    """
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(0)
    drawn = random.integers(0, len(labels), (_RESAMPLES, len(labels)))
    accuracies = (labels == predicted)[drawn].mean(axis=1)
    few = drawn[:: _RESAMPLES // 200]  # F1 takes its time
    classes = np.unique(labels)
    found = {"accuracy": accuracies, "macro_f1": np.empty(len(few)), "weighted_f1": np.empty(len(few))}
    for at, rows in enumerate(few):
        _, _, of_class, support = precision_recall_fscore_support(
            labels[rows], predicted[rows], labels=classes, zero_division=0
        )
        found["macro_f1"][at] = of_class[support > 0].mean()
        found["weighted_f1"][at] = np.average(of_class, weights=support)
    return {name: Interval(*map(float, np.percentile(values, (2.5, 97.5)))) for name, values in found.items()}


def class_curves(
    probabilities: NDArray[np.float64], labels: NDArray[np.intp], classes: Sequence[str]
) -> tuple[ClassCurve, ...]:
    """Returns precision over recall of each class that has an image, against all others."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    curves = []
    for number, name in enumerate(classes):
        truth = labels == number
        if truth.any():
            precision, recall, _ = precision_recall_curve(truth, probabilities[:, number])
            average = float(average_precision_score(truth, probabilities[:, number]))
            curves.append(ClassCurve(name, average, tuple(map(float, recall)), tuple(map(float, precision))))
    return tuple(curves)
