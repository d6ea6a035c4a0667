"""Tensors that are kept an image: in memory, or on disk for this run and the next ones.

A shelf holds the tensors of one frontier. It grows by chunks of some images; on disk a chunk is a file of raw
numbers and a description beside it, which is written last: without it the chunk does not exist.
"""

from __future__ import annotations

import json
import math
import os
import uuid
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ALIGNMENT = 64  # bytes; tensors begin at multiples of it, as NumPy and vector units like it


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Returns a dtype by its name, bfloat16 included, which NumPy itself does not have."""
    if name == "bfloat16":
        import ml_dtypes

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
    """The tensors of one frontier by a key of their image, which is called its digest here."""

    def __init__(self, specs: Sequence[TensorSpec], folder: Path | None = None) -> None:
        """Opens a shelf, in memory or in a folder; whole chunks there are on it, damaged ones are removed."""
        self.specs = tuple(specs)
        self._folder = folder
        self._chunks: list[tuple[NDArray[Any], ...]] = []
        self._rows: dict[str, tuple[int, int]] = {}
        if folder is None:
            return
        described = {file.stem for file in folder.glob("*.json")}
        for data in sorted(folder.glob("*.bin")):
            loaded = _read_chunk(data.with_suffix(".json"), self.specs) if data.stem in described else None
            if loaded is None:
                data.with_suffix(".json").unlink(missing_ok=True)
                data.unlink()
            else:
                self._place(*loaded)
        for partial in folder.glob("*.partial"):
            partial.unlink()

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Returns the digests that are not on the shelf, each once."""
        return [digest for digest in dict.fromkeys(digests) if digest not in self._rows]

    def add(self, digests: Sequence[str], tensors: Sequence[NDArray[Any]]) -> None:
        """Puts a chunk on the shelf: for each tensor an array with a row a digest.

        Raises:
            ValueError: If a tensor has another shape than the shelf's.
            OSError: If the disk is full; the shelf is as it was.
        """
        arrays = tuple(
            np.ascontiguousarray(tensor, numpy_dtype(spec.dtype))
            for tensor, spec in zip(tensors, self.specs, strict=True)
        )
        for array, spec in zip(arrays, self.specs, strict=True):
            if array.shape != (len(digests), *spec.shape):
                raise ValueError(f"expected a tensor of shape {(len(digests), *spec.shape)}, found {array.shape}")
        if self._folder is not None:
            arrays = _write_chunk(self._folder, digests, arrays, self.specs)
        self._place(digests, arrays)

    def gather(self, digests: Sequence[str]) -> tuple[NDArray[Any], ...]:
        """Returns the tensors of some images, each as an array with a row a digest."""
        places = [self._rows[digest] for digest in digests]
        gathered = tuple(np.empty((len(places), *spec.shape), numpy_dtype(spec.dtype)) for spec in self.specs)
        for row, (chunk, at) in enumerate(places):
            for target, source in zip(gathered, self._chunks[chunk], strict=True):
                target[row] = source[at]
        return gathered

    def _place(self, digests: Sequence[str], arrays: tuple[NDArray[Any], ...]) -> None:
        self._rows.update((digest, (len(self._chunks), row)) for row, digest in enumerate(digests))
        self._chunks.append(arrays)


def _write_chunk(
    folder: Path, digests: Sequence[str], arrays: Sequence[NDArray[Any]], specs: Sequence[TensorSpec]
) -> tuple[NDArray[Any], ...]:
    name = uuid.uuid4().hex
    data, partial = folder / f"{name}.bin", folder / f"{name}.partial"
    try:
        checksum = 0
        with partial.open("wb") as file:
            for array in arrays:
                content = array.tobytes() + bytes(-array.nbytes % _ALIGNMENT)
                checksum = zlib.crc32(content, checksum)
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(data)
        description = {"digests": list(digests), "crc32": checksum, "tensors": [[*spec.shape] for spec in specs]}
        partial.write_text(json.dumps(description), encoding="utf-8")
        partial.replace(folder / f"{name}.json")
    finally:
        partial.unlink(missing_ok=True)
    return _map(data, len(digests), specs)


def _read_chunk(description: Path, specs: Sequence[TensorSpec]) -> tuple[list[str], tuple[NDArray[Any], ...]] | None:
    """Returns a chunk's digests and tensors, or None if it is damaged."""
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        digests, expected = list(content["digests"]), content["crc32"]
        tensors = _map(description.with_suffix(".bin"), len(digests), specs)
        with description.with_suffix(".bin").open("rb") as file:
            checksum = 0
            while block := file.read(1 << 20):
                checksum = zlib.crc32(block, checksum)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (digests, tensors) if checksum == expected else None


def _map(data: Path, count: int, specs: Sequence[TensorSpec]) -> tuple[NDArray[Any], ...]:
    tensors, offset = [], 0
    for spec in specs:
        tensors.append(np.memmap(data, numpy_dtype(spec.dtype), "r", offset, (count, *spec.shape)))
        size = count * spec.size
        offset += size + -size % _ALIGNMENT
    return tuple(tensors)
