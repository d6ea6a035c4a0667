"""Which images a network rejects: those it is unsure of, and those unlike what it was trained on.

The distance is that of Sun and others, "Out-of-distribution detection with deep nearest neighbors", 2022,
https://arxiv.org/abs/2204.06507: to the k-th nearest training image, between features of length one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from surgeon.results.run import Acceptance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from surgeon.recipe.bundle import Rejection

SHARPNESS = 8  # how steeply the number of `unknown` rises at a bound; see ``read_answers``
TINY = 1e-12  # of a probability, whose logarithm is taken
_SLACK = 0.01  # between a bound and the image that sets it, so that no rounding decides
_LEAST_DISTANCE = 1e-6  # of a bound, where float32 can still tell distances apart
_NUMBERS = 4_000_000  # of the features that are kept, 16 MB
_MOST = 5_000  # images to compare with
_OF_EACH = 5  # images of each class at least, whatever room they take
_ROWS = 256


def choose_known(labels: NDArray[np.integer], width: int) -> NDArray[np.intp]:
    """Returns which training images others are compared with: all, or about as many of each class as there is room for.

    Args:
        labels: Class numbers, of shape (n,).
        width: How many features each has.

    Returns:
        Ascending positions among the n.
    """
    order = np.argsort(labels, kind="stable")
    place = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])  # in its class
    number = max(min(_NUMBERS // width, _MOST), _OF_EACH * len(np.unique(labels)))
    return np.sort(order[np.argsort(place, kind="stable")][:number])


def distances(features: NDArray[np.float32], known: NDArray[np.float32], neighbours: int) -> NDArray[np.float32]:
    """Returns one less the cosine to the ``neighbours``-th nearest of some known images, of shape (n,).

    Args:
        features: Of shape (n, width).
        known: Of length one, of shape (m, width), m at least ``neighbours``.
        neighbours: At least 1.
    """
    found = []
    for start in range(0, len(features), _ROWS):
        cosines = unit(features[start : start + _ROWS]) @ known.T
        found.append(1 - np.partition(cosines, -neighbours, axis=1)[:, -neighbours])
    return np.concatenate(found)


def unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns features of length one; those of length zero stay."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, TINY), np.float32)


def choose_bounds(
    probabilities: NDArray[np.floating[Any]], distance: NDArray[np.floating[Any]], accept: float
) -> tuple[float, float]:
    """Returns bounds that accept a part of images: the least probability and the largest distance.

    Both are equally strict: they leave out about as many images each. They keep a little away from the image that sets
    them.

    Args:
        probabilities: Of the likeliest class, of shape (n,).
        distance: Of shape (n,).
        accept: The part, rounded up so that it holds on average for new images, too.
    """
    strangeness = np.maximum(rankdata(-probabilities, "max"), rankdata(distance, "max"))
    number = min(math.ceil(accept * (len(strangeness) + 1)), len(strangeness))
    accepted = strangeness <= np.sort(strangeness)[number - 1]
    least, largest = float(probabilities[accepted].min()), float(distance[accepted].max())
    return least * (1 - _SLACK), max(largest * (1 + _SLACK), _LEAST_DISTANCE)


def read_answers(
    answers: NDArray[np.float32], rejection: Rejection | None
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Takes what a network answers apart.

    A network that rejects gives the probabilities p of the classes and a last number u, all divided by 1 + u so that
    they add up to 1. With the likeliest class's probability c, its bound b, the distance d and its bound e, u is
    ``c * max(b / c, d / e) ** 8``. So the last number is the largest where an image is to be rejected, and small
    where it is far from that.

    Args:
        answers: Of shape (n, classes), or (n, classes + 1) of a network that rejects; rows may be NaN.
        rejection: When it does.

    Returns:
        The probabilities, of shape (n, classes), and why images are rejected, by their positions.
    """
    if rejection is None:
        return answers, {}
    known = answers[:, :-1].astype(np.float64)
    probabilities = known / np.maximum(known.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    sure, bound = probabilities.max(axis=1), rejection.least_probability
    excess = excess_of(answers)
    reasons = {}
    for at in np.flatnonzero(excess > 1).tolist():
        if excess[at] * sure[at] < 1.001 * bound:  # so it was not the distance
            reasons[at] = f"unsure: a probability of {sure[at]:.2f}, where {bound:.2f} is asked for"
        else:
            reasons[at] = f"unlike the training images: {excess[at]:.1f} times as far from them as is accepted"
    return probabilities.astype(np.float32), reasons


def excess_of(answers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns where images lie, as a multiple of the bounds of a network that rejects, of shape (n,)."""
    known, last = answers[:, :-1].astype(np.float64), answers[:, -1].astype(np.float64)
    return np.asarray((last / np.maximum(known.max(axis=1), np.finfo(np.float32).tiny)) ** (1 / SHARPNESS))


def acceptance(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], rejected: Mapping[int, str], strangers: Sequence[bool]
) -> Acceptance:
    """Returns what became of images.

    Args:
        labels: Class numbers of those whose class the network knows, of shape (n,).
        predicted: The likeliest classes, of shape (n,).
        rejected: Which of them were rejected, by their positions.
        strangers: For each image of a class that the network does not know, whether it was rejected.
    """
    is_accepted = np.ones(len(labels), bool)
    is_accepted[list(rejected)] = False
    accepted = int(is_accepted.sum())
    return Acceptance(
        images=len(labels),
        accepted=accepted,
        accuracy=float((labels == predicted)[is_accepted].mean()) if accepted else None,
        strangers=len(strangers),
        rejected_strangers=sum(strangers),
    )
