"""The state of a run after its last finished epoch, on disk, so that a stopped run can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = "checkpoint.npz"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a run stands.

    Attributes:
        phase: Number of the phase, from 1.
        epoch: How many of its epochs are finished.
        record: What is not a tensor, as JSON: the results so far, the phase's history, what early stopping knows.
        arrays: Variables by name: of the layers that any phase so far trained, of the optimizer, of random streams.
    """

    phase: int
    epoch: int
    record: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint in place of the former one, which stays until the new one is whole and on the disk."""
    head = {"phase": checkpoint.phase, "epoch": checkpoint.epoch, "record": checkpoint.record}
    partial = folder / f"{FILE}.partial"
    with partial.open("wb") as file:
        np.savez(file, head=np.array(json.dumps(head)), **checkpoint.arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / FILE)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Returns the last checkpoint of a run, or None if it has none."""
    path = folder / FILE
    if not path.exists():
        return None
    with np.load(path) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    head = json.loads(str(arrays.pop("head")))
    return Checkpoint(head["phase"], head["epoch"], head["record"], arrays)
