"""Reads a PyTorch weights file without PyTorch.

Only the format that ``torch.save`` wrote before version 1.6 is read: a run of pickles (a magic number, a
protocol version, the writer's system, the object itself, the keys of its storages), then each storage as a
count and its raw elements. The layout is that of ``_legacy_load`` in ``torch/serialization.py``.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from surgeon.errors import SurgeonError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
STORAGE_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def read_tensors(path: Path, sha256: str) -> dict[str, NDArray[Any]]:
    """Returns the tensors of a state dict, by name and in the file's order.

    Args:
        path: A file in PyTorch's format before version 1.6, which holds one mapping of names to tensors.
        sha256: The file's SHA-256 in lower-case hexadecimal; nothing is unpickled before it has been checked.

    Returns:
        Each tensor as a contiguous array of its own, with PyTorch's shape and the dtype of its storage.

    Raises:
        SurgeonError: If the file cannot be read, has another SHA-256, is truncated or damaged, or holds
            anything but tensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SurgeonError(f"cannot read {path}: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise SurgeonError(
            f"{path} has the SHA-256 {found}, expected {sha256}",
            "the file is damaged or another version; install or download it again",
        )
    try:
        return _read(io.BytesIO(content))
    except Exception as error:  # damaged pickles raise whatever they happen to hit
        raise SurgeonError(f"{path} cannot be read as a PyTorch file with tensors only: {error}") from error


class _Storage(NamedTuple):
    """A flat run of ``size`` elements, which several tensors may share."""

    key: str
    dtype: str
    size: int


class _View(NamedTuple):
    """A tensor as its elements lie in a storage; ``offset`` and ``strides`` count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _TensorUnpickler(pickle.Unpickler):
    """Unpickles tensors as views of storages that are yet to be read; refuses other classes and functions."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._view
        if module == "torch" and name in STORAGE_DTYPES:
            return name
        raise pickle.UnpicklingError(f"found {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _location, size, view = pid
        if kind != "storage" or view is not None or size < 0:
            raise pickle.UnpicklingError(f"found {pid!r} in place of a storage")
        storage = _Storage(key, STORAGE_DTYPES[storage_type], size)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"found storage {key} with two types or sizes")
        return storage

    def _view(self, storage: Any, offset: Any, shape: Any, strides: Any, *_gradient_and_hooks: object) -> _View:
        return _View(storage, offset, shape, strides)


def _read(stream: io.BytesIO) -> dict[str, NDArray[Any]]:
    for expected in (MAGIC_NUMBER, PROTOCOL_VERSION):
        if (found := _TensorUnpickler(stream).load()) != expected:
            raise pickle.UnpicklingError(f"found {found!r} in its header, expected {expected}")
    if not _TensorUnpickler(stream).load()["little_endian"]:
        raise pickle.UnpicklingError("found big-endian storages")

    unpickler = _TensorUnpickler(stream)
    views = unpickler.load()
    keys = _TensorUnpickler(stream).load()
    elements = {key: _elements(stream, unpickler.storages[key]) for key in keys}
    if not isinstance(views, dict):
        raise pickle.UnpicklingError(f"found {type(views).__name__} in place of a mapping of names to tensors")
    return {name: _tensor(name, view, elements) for name, view in views.items()}


def _elements(stream: io.BytesIO, storage: _Storage) -> NDArray[Any]:
    (size,) = struct.unpack("<q", stream.read(8))
    if size != storage.size:
        raise pickle.UnpicklingError(f"found {size} elements in storage {storage.key}, expected {storage.size}")
    dtype = np.dtype(storage.dtype)
    return np.frombuffer(stream.read(size * dtype.itemsize), dtype, size)


def _tensor(name: object, view: object, elements: dict[str, NDArray[Any]]) -> NDArray[Any]:
    if not isinstance(name, str) or not isinstance(view, _View):
        raise pickle.UnpicklingError(f"found {name!r}: {type(view).__name__} in place of a tensor and its name")
    storage = elements[view.storage.key]
    # as_strided trusts its caller: whatever it is given has to lie inside the storage
    last = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
    if min(view.offset, *view.shape, *view.strides, 0) < 0 or (0 not in view.shape and last >= storage.size):
        raise pickle.UnpicklingError(
            f"found {name} with shape {view.shape}, strides {view.strides} and offset {view.offset}, "
            f"which reach outside its storage of {storage.size} elements"
        )
    strides = [stride * storage.itemsize for stride in view.strides]
    tensor: NDArray[Any] = np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, strides).copy()
    return tensor
