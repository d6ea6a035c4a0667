"""Logistic regression on pooled features that come from anywhere in a network."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of features of length one. On the training images of Flowers-17, 5 % of them labelled wrongly at random, the more
# it is regularized the fewer wrong labels are found and the fewer are found wrongly: 30 finds 83 % with 98 % right, 200
# finds 92 % with 85 % right, and this 90 % with 90 % right.
INVERSE_REGULARIZATION = 100.0


def scaled(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns features scaled to length one, in as few numbers per image as hold the same for a linear classifier.

    Args:
        features: Of shape (n, features).

    Returns:
        Of shape (n, min(n, features)): of more features than images a rotation is taken, to which the regularized
        regression is blind.
    """
    unit = normalize(features)
    return np.asarray(np.linalg.qr(unit.T, mode="r")).T if unit.shape[1] > len(unit) else unit


def classifier() -> LogisticRegression:
    """Returns the regression for scaled features."""
    return LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=1000)


def cross_validated(
    features: NDArray[np.float32], labels: NDArray[np.int32], digests: NDArray[np.str_], folds: int, seed: int
) -> NDArray[np.int32]:
    """Returns the class of each image as a regression on the other folds predicts it.

    Args:
        features: Of shape (n, features), as the network puts them out.
        labels: Class numbers, shape (n,).
        digests: Of the images' bytes, shape (n,); copies of an image are in the same fold.
        folds: How many.
        seed: Decides the folds.

    Returns:
        Class numbers, shape (n,).
    """
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    # The matrices are small: threads that wait for each other cost more than they bring.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        predicted = cross_val_predict(classifier(), scaled(features), labels, cv=splitter, groups=digests)
    return np.asarray(predicted, np.int32)
