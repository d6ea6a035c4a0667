"""What a network is fed: the tensors of images, or of changed copies, and their classes, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")
Tensors = tuple[Any, ...]  # NumPy arrays with a row per image


@dataclass(frozen=True, eq=False)
class Samples:
    """What a network is fed, in some order: images as they are, and changed copies of them.

    Attributes:
        images: Positions among all images, intp of shape (n,).
        views: Which changed copy of the image each is, from 1; 0 for the image as it is. Of the same shape.
    """

    images: NDArray[np.intp]
    views: NDArray[np.intp]

    @classmethod
    def unchanged(cls, images: NDArray[np.intp]) -> Samples:
        """Returns images as they are, by their positions."""
        return cls(images, np.zeros_like(images))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: slice | NDArray[np.intp]) -> Samples:
        return Samples(self.images[chosen], self.views[chosen])


@dataclass(frozen=True, eq=False)
class Examples:
    """The images of one split, as pixels or as what frozen layers made of them.

    Attributes:
        gather: Returns the tensors of samples, a row each.
        numbers: Class numbers of the images of all splits, int32 of shape (n,).
        positions: Which of the n images belong to this split, ascending.
    """

    gather: Callable[[Samples], Tensors]
    numbers: NDArray[np.int32]
    positions: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def labels(self) -> NDArray[np.int32]:
        """Class numbers of this split, in the order of its positions."""
        return self.numbers[self.positions]

    def batches(self, size: int, samples: Samples) -> Iterator[tuple[Tensors, NDArray[np.int32]]]:
        """Yields tensors and class numbers of ``size`` samples at a time, in their order."""
        chosen = [samples[start : start + size] for start in range(0, len(samples), size)]
        for batch, tensors in zip(chosen, ahead(self.gather, chosen), strict=True):
            yield tensors, self.numbers[batch.images]


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
