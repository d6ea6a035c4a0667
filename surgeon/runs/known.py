"""The features of training images that others are compared with: ``known.npy``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surgeon.files import open_regular
from surgeon.records import damage_told
from surgeon.runs.folder import RERUN

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from surgeon.recipe.bundle import Bundle

_FILE = "known.npy"
_MOST_BYTES = 1 << 30


def write_known(folder: Path, known: NDArray[np.float32]) -> None:
    """Writes the features of a run's training images, of length one and shape (images, width)."""
    with (folder / _FILE).open("wb") as file:
        np.save(file, known, allow_pickle=False)


def read_known(folder: Path, bundle: Bundle) -> NDArray[np.float32] | None:
    """Returns what ``write_known`` wrote, or None for a run that rejects no images.

    Raises:
        SurgeonError: If it is missing or damaged.
    """
    if bundle.rejection is None:
        return None
    path = folder / _FILE
    with damage_told(path, RERUN):
        with open_regular(path, _MOST_BYTES) as file:
            known: NDArray[np.float32] = np.load(file, allow_pickle=False)
        if known.dtype != np.float32 or known.ndim != 2 or len(known) < bundle.rejection.neighbours:
            raise ValueError(f"an array of {known.dtype} of the shape {known.shape}")
        if not np.isfinite(known).all():
            raise ValueError("numbers that are not finite")
    return known
