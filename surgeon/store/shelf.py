"""Tensors that are kept an image: in memory, or on disk for this run and the next ones."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from surgeon.errors import SurgeonError
from surgeon.results.events import Progress
from surgeon.store.rows import RowFile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LAYOUT = 2  # of the files of a shelf; another one is another shelf


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Returns a dtype by its name, bfloat16 included, which NumPy itself does not have."""
    if name == "bfloat16":
        name = ml_dtypes.bfloat16
    return np.dtype(name)


@dataclass(frozen=True)
class TensorSpec:
    """Shape of a kept tensor, without the batch, and the name of its dtype."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Bytes that the tensor takes an image."""
        return math.prod(self.shape) * numpy_dtype(self.dtype).itemsize


class Shelf:
    """The tensors of one frontier: a row of bytes for each image, which has a key of 32 bytes."""

    def __init__(self, specs: Sequence[TensorSpec], room: int, folder: Path | None = None) -> None:
        """Opens a shelf.

        Args:
            specs: The tensors of an image.
            room: How many rows may come on a shelf in memory.
            folder: Where it lies; None for one in memory, which is empty.

        Raises:
            StoreError: If the folder cannot be used.
            SurgeonError: If the memory is too small.
        """
        self.specs = tuple(specs)
        self.row_size = sum(spec.size for spec in specs)
        self._file = RowFile(folder, self.row_size) if folder is not None else None
        self._count = 0
        try:
            # The system gives memory to what is written, not to what is reserved.
            self._memory = np.empty((0 if folder else room, self.row_size), np.uint8)
        except MemoryError as error:
            raise SurgeonError(
                f"{room * self.row_size / 1e9:,.1f} GB are to be kept in memory, which does not have that much room",
                "set features: disk or auto, or lower data.image_size",
            ) from error

    def close(self) -> None:
        """Closes its file."""
        if self._file is not None:
            self._file.close()

    def find(self, keys: Sequence[bytes], task: str) -> Generator[Progress, None, NDArray[np.intp]]:
        """Returns the row of each key, or -1 if it is not on the shelf or damaged.

        Args:
            keys: Of images.
            task: What the progress of verifying them is called.

        Raises:
            StoreError: If the shelf cannot be read.
        """
        if self._file is None:
            return np.full(len(keys), -1)
        return (yield from self._file.find(keys, task))

    def add(self, keys: Sequence[bytes], tensors: Sequence[NDArray[Any]]) -> NDArray[np.intp]:
        """Puts images on the shelf: for each tensor an array with a row a key.

        Returns:
            The row of each key.

        Raises:
            ValueError: If a tensor has another shape than the shelf's.
            StoreError: If the disk is full; what was settled stays.
        """
        for tensor, spec in zip(tensors, self.specs, strict=True):
            if tensor.shape != (len(keys), *spec.shape):
                raise ValueError(f"expected a tensor of shape {(len(keys), *spec.shape)}, found {tensor.shape}")
        arrays = (
            np.ascontiguousarray(tensor, numpy_dtype(spec.dtype))
            for tensor, spec in zip(tensors, self.specs, strict=True)
        )
        content = np.concatenate([array.reshape(len(keys), -1).view(np.uint8) for array in arrays], axis=1)
        if self._file is not None:
            return self._file.append(keys, content)
        rows = np.arange(self._count, self._count + len(keys))
        self._memory[rows] = content
        self._count += len(keys)
        return rows

    def settle(self) -> None:
        """Makes sure that all that was added survives a crash.

        Raises:
            StoreError: If the disk is full.
        """
        if self._file is not None:
            self._file.settle()

    def gather(self, rows: NDArray[np.intp]) -> tuple[NDArray[Any], ...]:
        """Returns the tensors of some rows, each as an array with a row per image.

        Raises:
            IndexError: If a row is -1, which is on no shelf.
            StoreError: If the shelf cannot be read.
        """
        if (rows < 0).any():
            raise IndexError("an image that is not on the shelf was asked for")
        content = self._memory[rows] if self._file is None else self._file.read(rows)
        ends = np.cumsum([spec.size for spec in self.specs])
        parts = np.split(content, ends[:-1], axis=1)
        return tuple(
            np.ascontiguousarray(part).view(numpy_dtype(spec.dtype)).reshape(len(rows), *spec.shape)
            for part, spec in zip(parts, self.specs, strict=True)
        )
