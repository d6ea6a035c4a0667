"""What a network is fed: the tensors of some images and their classes, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Tensors = tuple[Any, ...]  # NumPy arrays with a row an image


@dataclass(frozen=True, eq=False)
class Examples:
    """The images of one split, as pixels or as what frozen layers made of them.

    Attributes:
        gather: Returns the tensors of the images at some positions, a row each. With n images in all, a
            position p of an image stands for it as it is and p + n * v for its changed copy v, from 1.
        numbers: Class numbers of the images of all splits, int32 of shape (n,).
        positions: Which of the n images belong to this split, ascending.
    """

    gather: Callable[[NDArray[np.intp]], Tensors]
    numbers: NDArray[np.int32]
    positions: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def labels(self) -> NDArray[np.int32]:
        """Class numbers of this split, in the order of its positions."""
        return self.numbers[self.positions]

    def batches(self, size: int, order: NDArray[np.intp]) -> Iterator[tuple[Tensors, NDArray[np.int32]]]:
        """Yields tensors and class numbers of ``size`` images at a time; ``order`` holds positions."""
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield self.gather(chosen), self.numbers[chosen % len(self.numbers)]
