"""Where in an image a network sees a class, by its answers alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Explain = Callable[["NDArray[np.float32]", int], "NDArray[np.float32]"]

_OCCLUSION = 8  # squares along a side
_TINY = 1e-12


def build_occlusion(classify: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Explain:
    """Returns occlusion (Zeiler and Fergus 2014): how much a class loses where a grey square covers the image.

    It looks at answers only, so it is a check on methods that look inside.

    Args:
        classify: From pixels from 0 to 255, of shape (n, height, width, 3), to probabilities of shape (n, classes).

    Returns:
        A function from one image of such pixels and a class number to a map, float32 from 0 to 1 of shape (8, 8); all 0
        where nothing that is covered lowers the probability.
    """

    def explain(pixels: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        height, width = pixels.shape[:2]
        rows, columns = (np.linspace(0, side, _OCCLUSION + 1).astype(int) for side in (height, width))
        covered = np.repeat(pixels[None], _OCCLUSION**2 + 1, axis=0).astype(np.float32)
        for at in range(_OCCLUSION**2):
            row, column = divmod(at, _OCCLUSION)
            covered[at, rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = 127
        probabilities = classify(covered)[:, number]
        lost = np.maximum(probabilities[-1] - probabilities[:-1], 0).reshape(_OCCLUSION, _OCCLUSION)
        return np.asarray(lost / max(float(lost.max()), _TINY), np.float32)

    return explain
