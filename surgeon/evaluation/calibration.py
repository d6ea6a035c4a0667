"""How far probabilities can be believed, and how sure the measures of a test are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from surgeon.results.use import Calibration, Interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_BINS = 10
_NORMAL = 1.96  # standard deviations on either side that hold 95 % of a normal distribution
_RESAMPLES = 2000
_VALUES = 4_000_000  # probabilities that are looked at together
_TINY = 1e-12


def calibrate(probabilities: NDArray[np.float32], labels: NDArray[np.intp]) -> Calibration:
    """Compares confidence with accuracy (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        probabilities: Of shape (n, classes), rows that add up to 1.
        labels: The true class numbers, of shape (n,).

    Returns:
        The expected calibration error in ten bins of equal width, and the temperature that fits these same images.
    """
    temperature = fit_temperature(probabilities, labels)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    error, bins = _calibration_error(confidence, right)
    after, _ = _calibration_error(
        np.concatenate([part.max(axis=1) for _, part in _softened(probabilities, temperature)]), right
    )
    return Calibration(error=error, bins=bins, temperature=temperature, error_at_temperature=after)


def fit_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """Returns what logits are to be divided by so that they are as sure as they are right on these images.

    It maximizes the likelihood (Guo et al. 2017), of targets a little short of certainty (Platt 1999): else a network
    that makes no mistake on a few images would be taken to make none ever.

    Args:
        probabilities: Of shape (n, classes), rows that add up to 1.
        labels: The true class numbers, of shape (n,).
    """
    wrong = 1 / (len(labels) + 2)

    def loss(log_temperature: float) -> float:
        lost = 0.0
        for rows, part in _softened(probabilities, float(np.exp(log_temperature))):
            right = part[np.arange(len(part)), labels[rows]]
            lost -= (1 - wrong) * float(np.log(np.maximum(right, _TINY)).sum())
            lost -= wrong * float(np.log(np.maximum(1 - right, _TINY)).sum())
        return lost

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def _softened(probabilities: NDArray[np.float32], temperature: float) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yields the probabilities at another temperature, a block of rows at a time, with the place of the block."""
    rows = max(1, _VALUES // probabilities.shape[1])
    for start in range(0, len(probabilities), rows):
        block = slice(start, start + rows)
        logits = np.log(np.maximum(probabilities[block].astype(np.float64), _TINY))
        yield block, softmax(logits / temperature, axis=1)


def _calibration_error(
    confidence: NDArray[Any], right: NDArray[np.bool_]
) -> tuple[float, tuple[tuple[float, float, int], ...]]:
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    bins = tuple(
        (float(confidence[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for inside in (place == number for number in range(_BINS))
        if inside.any()
    )
    return sum(count * abs(sure - true) for sure, true, count in bins) / len(right), bins


def bootstrap(labels: NDArray[np.intp], predicted: NDArray[np.intp]) -> dict[str, Interval]:
    """Returns 95 % intervals of accuracy and of the averages of F1, by 2,000 resamples of the images.

    Where there is no mistake to resample, that of accuracy is Wilson's (1927), and stands for the averages, too.

    Images of the same true and found class are alike to these figures, so a resample is how many of each kind it has:
    a draw from a multinomial distribution, which takes no more room for more images.

    Args:
        labels: The true class numbers, of shape (n,).
        predicted: The found ones.
    """
    pairs, counts = np.unique(np.stack([labels, predicted], axis=1), axis=0, return_counts=True)
    true, taken = pairs.T
    is_hit, classes = true == taken, int(pairs.max()) + 1
    random = np.random.default_rng(0)
    found: dict[str, list[float]] = {"accuracy": [], "macro_f1": [], "weighted_f1": []}
    for _ in range(_RESAMPLES):
        drawn = random.multinomial(len(labels), counts / len(labels))
        support = np.bincount(true, drawn, classes)
        hits = np.bincount(true[is_hit], drawn[is_hit], classes)
        f1 = 2 * hits / np.maximum(support + np.bincount(taken, drawn, classes), 1)
        found["accuracy"].append(hits.sum() / len(labels))
        found["macro_f1"].append(f1[support > 0].mean())
        found["weighted_f1"].append(f1 @ support / len(labels))
    if is_hit.all():  # no resample has a mistake, though the next images may: Wilson's interval says how many
        return dict.fromkeys(found, Interval(len(labels) / (len(labels) + _NORMAL**2), 1.0))
    return {name: Interval(*map(float, np.percentile(values, (2.5, 97.5)))) for name, values in found.items()}
