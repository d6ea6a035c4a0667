"""Checkpoints: where a run stands after an epoch, so that a run that was stopped can go on from there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from surgeon.errors import SurgeonError
from surgeon.files import check_stored, open_regular
from surgeon.records import check_version, damage_told, record_of
from surgeon.results.events import PhaseResult
from surgeon.runs.folder import CHECKPOINT, HISTORY, mend_events, write_history

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from surgeon.recipe.plan import Plan

_VERSION = 2
_RECORD = "record"
_GROUPS = ("weights", "best", "begun", "state")  # an array's name in the file begins with its group's
_MARK = b"\nsurgeon checkpoint 2, SHA-256 "  # with the digest of all bytes before it, this ends the file
_TAIL = len(_MARK) + hashlib.sha256().digest_size
_MOST_BYTES = 1 << 40
_BLOCK = 1 << 20
_REMEDY = "start the recipe again; the frozen features are kept, the epochs are lost"

Values = Mapping[str, "NDArray[Any]"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a run stands after an epoch.

    Attributes:
        finished: The phases before the present one.
        start: The figures of the present phase before its first epoch, where they count for how it ends.
        history: For each figure of the present phase its value per epoch.
        seconds: Wall time of the present phase.
        digests: Of each weight before the present phase, for its audit; by path.
        weights: Those of all layers that were trained so far, by path.
        best: Those that the phase would end with, if they are not ``weights``: of its best epoch, or averages.
        begun: Those before the phase, if it may end with them or with an average of them.
        state: What the optimizer remembers and where the random streams are.
        precision: What the present phase computes in.
    """

    finished: tuple[PhaseResult, ...]
    start: Mapping[str, float]
    history: Mapping[str, tuple[float, ...]]
    seconds: float
    digests: Mapping[str, str]
    weights: Values
    best: Values
    begun: Values
    state: Values
    precision: str

    @property
    def phase(self) -> int:
        """Number of the present phase, from 1."""
        return len(self.finished) + 1

    @property
    def epoch(self) -> int:
        """The last finished epoch of the present phase; 0 before the first."""
        return len(self.history.get("loss", ()))

    @property
    def spent(self) -> float:
        """Seconds of training so far."""
        return self.seconds + sum(phase.seconds for phase in self.finished)


@dataclass(frozen=True)
class _Record:
    """What a checkpoint holds beside arrays."""

    finished: tuple[PhaseResult, ...]
    history: Mapping[str, tuple[float, ...]]
    seconds: float
    digests: Mapping[str, str]
    start: Mapping[str, float] = field(default_factory=dict)
    precision: str = "float32"


class Checkpoints:
    """The latest checkpoint of a run, in its folder and here; written while the training goes on."""

    def __init__(self, folder: Path | None) -> None:
        """Begins with the checkpoint that an earlier process left, if it left one; without a folder none is written."""
        self._path = None if folder is None else folder / CHECKPOINT
        self._writer = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self.latest = None if folder is None else read_checkpoint(folder)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown()
        if kind is None:
            self._wait()

    def of_phase(self, number: int) -> Checkpoint | None:
        """Returns the latest checkpoint if it was made in phase ``number``, from 1."""
        return self.latest if self.latest is not None and self.latest.phase == number else None

    def add(self, checkpoint: Checkpoint) -> None:
        """Has a checkpoint written once the one before it is on the disk.

        Raises:
            OSError: If the one before it could not be written.
        """
        self._wait()
        self.latest = checkpoint
        if self._path is not None:
            self._pending = self._writer.submit(_write, self._path, checkpoint)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()


def values_of(variables: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Returns the values of Keras variables, which stay what they are when training goes on."""
    return {name: variable.numpy() for name, variable in variables.items()}


def restore(variables: Mapping[str, Any], values: Values) -> None:
    """Gives Keras variables the values that they had.

    Raises:
        SurgeonError: If there is none for one of them, or one of another shape.
    """
    for name, variable in variables.items():
        if name not in values or values[name].shape != tuple(variable.shape):
            raise SurgeonError(f"the checkpoint has no value for {name!r} of shape {tuple(variable.shape)}", _REMEDY)
        variable.assign(values[name])


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Returns the latest checkpoint of a run, or None if no epoch was finished.

    Raises:
        SurgeonError: If it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    with damage_told(path, _REMEDY), open_regular(path, _MOST_BYTES) as file:
        _check_digest(file)
        with np.load(file, allow_pickle=False) as arrays:
            check_stored(arrays.zip, file)
            value = json.loads(str(arrays[_RECORD]))
            check_version(path, value, _VERSION)
            record = record_of(value, _Record)
            groups: dict[str, dict[str, NDArray[Any]]] = {group: {} for group in _GROUPS}
            for name in set(arrays.files) - {_RECORD}:
                group, _, rest = name.partition("/")
                groups[group][rest] = arrays[name]
        return Checkpoint(
            finished=record.finished,
            start=record.start,
            history=record.history,
            seconds=record.seconds,
            digests=record.digests,
            precision=record.precision,
            **groups,
        )


def _check_digest(file: BinaryIO) -> None:
    """Raises ValueError if a bit of a checkpoint is not what was written."""
    left = file.seek(0, os.SEEK_END) - _TAIL
    if left < 0 or file.seek(left) != left or not (tail := file.read()).startswith(_MARK):
        raise ValueError("it is cut short, or an older version of surgeon wrote it: there is no checksum at its end")
    file.seek(0)
    digest = hashlib.sha256()
    while left:
        block = file.read(min(left, _BLOCK))
        digest.update(block)
        left -= len(block)
    if digest.digest() != tail.removeprefix(_MARK):
        raise ValueError("its bytes do not match its checksum")
    file.seek(0)


def rewind(plan: Plan, folder: Path) -> None:
    """Takes the files that a run appends to back to its latest checkpoint; those of a new run stay absent."""
    latest = read_checkpoint(folder)
    mend_events(folder)
    if latest is not None:
        histories = (*(phase.history for phase in latest.finished), latest.history)
        write_history(folder, [(phase.name, history) for phase, history in zip(plan.phases, histories, strict=False)])
    else:
        (folder / HISTORY).unlink(missing_ok=True)


def _write(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; until it is whole and on the disk, the one before it stays."""
    record = asdict(_Record(**{part.name: getattr(checkpoint, part.name) for part in fields(_Record)}))
    arrays = {f"{group}/{name}": values for group in _GROUPS for name, values in getattr(checkpoint, group).items()}
    partial = path.with_name("checkpoint.partial")
    try:
        with partial.open("w+b") as file:
            np.savez(file, **{_RECORD: np.array(json.dumps({"version": _VERSION, **record}))}, **arrays)  # type: ignore[arg-type]
            file.seek(0)
            file.write(_MARK + hashlib.file_digest(file, "sha256").digest())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
