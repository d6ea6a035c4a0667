"""How much memory a file of a network may take: not far more than it has bytes.

Layers compress to almost nothing if all their weights are equal, and the description of a layer of a billion weights is
short. Keras builds and unpacks both, up to thousands of times the size of the file.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import h5py
import keras

from surgeon.errors import SurgeonError

if TYPE_CHECKING:
    from pathlib import Path

_FACTOR = 4  # weights hardly compress; a network that is described only, without its weights, is not one to go on from
_ALLOWANCE = 64 << 20  # bytes, for small files of long descriptions
_DESCRIPTION, _WEIGHTS = "config.json", "model.weights.h5"


def check_model_file(path: Path) -> None:
    """Makes sure that a ``.keras`` file takes no more memory than its size allows, before it is opened.

    Raises:
        SurgeonError: If it would.
        Exception: Whatever Keras, ``zipfile`` or ``h5py`` raise for a file that is damaged.
    """
    most = _most(path)
    with zipfile.ZipFile(path) as archive:
        _refuse_beyond(most, sum(member.file_size for member in archive.infolist()), path, "unpacked")
        if _WEIGHTS in archive.namelist():
            with h5py.File(io.BytesIO(archive.read(_WEIGHTS))) as weights:
                _refuse_beyond(most, _declared(weights), path, "unpacked")
        description = archive.read(_DESCRIPTION).decode()
    # What Keras notes of a network that is described lies with the thread, and is gone with it.
    with ThreadPoolExecutor(1) as thread:
        _refuse_beyond(most, thread.submit(_described, description).result(), path, "built")


def check_weights_file(path: Path) -> None:
    """Makes sure that an HDF5 file of weights takes no more memory than its size allows, before it is read.

    Raises:
        SurgeonError: If it would.
        Exception: Whatever ``h5py`` raises for a file that is damaged.
    """
    with h5py.File(path) as weights:
        _refuse_beyond(_most(path), _declared(weights), path, "unpacked")


def _most(path: Path) -> int:
    return _FACTOR * path.stat().st_size + _ALLOWANCE


def _refuse_beyond(most: int, size: int, path: Path, when: str) -> None:
    if size > most:
        raise SurgeonError(
            f"{path} has {path.stat().st_size / 1e6:,.1f} MB and would take {size / 1e6:,.0f} MB when it is {when}",
            "a file normally takes about its own size in memory; ask its author for the original network",
        )


def _declared(weights: h5py.File) -> int:
    """Returns the bytes of all arrays in a file of weights; links out of it are not followed."""
    sizes: list[int] = []
    weights.visititems(lambda _, found: sizes.append(found.nbytes) if isinstance(found, h5py.Dataset) else None)
    return sum(sizes)


def _described(description: str) -> int:
    """Returns the bytes of a described network's weights; none is made."""
    with keras.StatelessScope(initialize_variables=False):
        network = keras.saving.deserialize_keras_object({**json.loads(description), "compile_config": None})
        return sum(math.prod(weight.shape) * 4 for weight in network.variables)
