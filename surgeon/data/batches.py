"""Decoded images of one split, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from surgeon.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Images:
    """The images of one split.

    Attributes:
        pixels: RGB of all splits, uint8 of shape (n, height, width, 3).
        numbers: Class numbers of all splits, int32 of shape (n,).
        positions: Which of the n images belong to this split, ascending.
    """

    pixels: NDArray[np.uint8]
    numbers: NDArray[np.int32]
    positions: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def labels(self) -> NDArray[np.int32]:
        """Class numbers of this split, in the order of its positions."""
        return self.numbers[self.positions]

    def batches(self, size: int, order: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int32]]]:
        """Yields pixels and class numbers of ``size`` images at a time; ``order`` holds positions."""
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield self.pixels[chosen], self.numbers[chosen]


def images_of(dataset: Dataset, split: str) -> Images:
    """Returns the images of a split, perhaps none."""
    return Images(dataset.pixels, dataset.labels, dataset.part(split))
