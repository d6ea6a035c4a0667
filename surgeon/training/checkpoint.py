"""Checkpoints: where a run stands after an epoch, so that a run that was stopped can go on from there."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.errors import SurgeonError
from surgeon.results.events import PhaseResult, phase_result
from surgeon.training.run_folder import CHECKPOINT, HISTORY, mend_events, write_history

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from surgeon.recipe.plan import Plan

_RECORD = "record"
_GROUPS = ("weights", "best", "state")  # an array's name in the file begins with its group's

Values = Mapping[str, "NDArray[Any]"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a run stands after an epoch.

    Attributes:
        finished: The phases before the present one.
        history: For each figure of the present phase its value an epoch.
        seconds: Wall time of the present phase.
        digests: Of each weight before the present phase, for its audit; by path.
        weights: Those of all layers that were trained so far, by path.
        best: Those that the phase would end with, if they are not ``weights``: of its best epoch, or averages.
        state: What the optimizer remembers and where the random streams are.
    """

    finished: tuple[PhaseResult, ...]
    history: Mapping[str, tuple[float, ...]]
    seconds: float
    digests: Mapping[str, str]
    weights: Values
    best: Values
    state: Values

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


class Checkpoints:
    """The latest checkpoint of a run, in its folder and here; written while the training goes on."""

    def __init__(self, folder: Path) -> None:
        """Begins with the checkpoint that an earlier process left, if it left one."""
        self._path = folder / CHECKPOINT
        self._writer = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self.latest = read_checkpoint(folder)

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
        KeyError: If there is none for one of them.
    """
    for name, variable in variables.items():
        variable.assign(values[name])


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Returns the latest checkpoint of a run, or None if no epoch was finished.

    Raises:
        SurgeonError: If it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            record = json.loads(str(file[_RECORD]))
            groups: dict[str, Any] = {group: {} for group in _GROUPS}
            for name in set(file.files) - {_RECORD}:
                group, _, rest = name.partition("/")
                groups[group][rest] = file[name]
        finished = tuple(phase_result(phase) for phase in record.pop("finished"))
        history = {name: tuple(values) for name, values in record.pop("history").items()}
        return Checkpoint(**record, **groups, finished=finished, history=history)
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SurgeonError(
            f"{path} is damaged: {error}", "start the recipe again; the frozen features are kept, the epochs are lost"
        ) from error


def rewind(plan: Plan, folder: Path) -> None:
    """Takes the files that a run appends to back to its latest checkpoint; those of a new run stay absent."""
    latest = read_checkpoint(folder)
    mend_events(folder)
    if latest is not None:
        histories = (*(phase.history for phase in latest.finished), latest.history)
        write_history(folder, [(phase.name, own) for phase, own in zip(plan.phases, histories, strict=False)])
    else:
        (folder / HISTORY).unlink(missing_ok=True)


def _write(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; until it is whole and on the disk, the one before it stays."""
    record = {
        "finished": [asdict(phase) for phase in checkpoint.finished],
        "history": checkpoint.history,
        "seconds": checkpoint.seconds,
        "digests": dict(checkpoint.digests),
    }
    arrays = {f"{group}/{name}": values for group in _GROUPS for name, values in getattr(checkpoint, group).items()}
    partial = path.with_name("checkpoint.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **{_RECORD: np.array(json.dumps(record))}, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
