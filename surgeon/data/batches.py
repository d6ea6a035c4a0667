"""What a network is fed: the tensors of some images and their classes, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")
Tensors = tuple[Any, ...]  # NumPy arrays with a row per image


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
        chosen = [order[start : start + size] for start in range(0, len(order), size)]
        for positions, tensors in zip(chosen, ahead(self.gather, chosen), strict=True):
            yield tensors, self.numbers[positions % len(self.numbers)]


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yields ``function`` of each item in order; while one is used, the next is computed in another thread."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for item in items:
            following = pool.submit(function, item)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
