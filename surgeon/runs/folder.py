"""The files of a run. Each is whole or absent; ``result.json`` comes last."""

from __future__ import annotations

import io
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from surgeon.cells import read_rows, write_rows
from surgeon.errors import RunInterruptedError, UsageError
from surgeon.files import open_regular, read_regular
from surgeon.recipe.text import dump_text
from surgeon.records import check_version, damage_told, record_of
from surgeon.results.events import BatchEnded, EpochEnded, Event, Note, Progress, event_record
from surgeon.results.run import RESULT_VERSION, RunResult, result_record, run_result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan

CHECKPOINT = "checkpoint.npz"  # see checkpoint.py
HISTORY = "history.csv"
REPORT = "report.html"
PREDICTIONS = "predictions.csv"
_RECIPE, _RESULT = "recipe.yaml", "result.json"
_SPLITS = "splits.csv"
_EVENTS = "events.jsonl"
_PREDICTED = ("file", "label", "predicted")  # the columns before those of the classes
_SPLIT = ("file", "label", "split", "sha256")
_MOST_BYTES = 1 << 30  # of a file that is read as a whole
_MOST_ROWS_BYTES = 64 << 30  # of one that is read row by row
_LONGEST_ROW = 1 << 24
RERUN = "restore it from a copy, or run the recipe again"  # what to do about a file that is damaged
HISTORY_COLUMNS = ("phase", "epoch", "seconds", "lr", "loss", "accuracy", "val_loss", "val_accuracy")


def new_folder(name: str, parent: str = "runs") -> Path:
    """Makes the folder where a run, or a sweep, goes if nobody says: ``PARENT/NAME-TIME``.

    Where there is one already, a number is put behind it: of runs that start in one second each gets its own.
    """
    named = Path(parent) / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    named.parent.mkdir(exist_ok=True)
    for number in itertools.count(1):
        folder = named if number == 1 else named.with_name(f"{named.name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


def create_run_folder(plan: Plan, folder: Path) -> None:
    """Makes the folder of a run and writes its ``recipe.yaml``.

    Raises:
        UsageError: If there is anything in it; nothing is ever overwritten.
    """
    check_is_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _RECIPE, dump_text(plan.recipe))


def check_is_free(folder: Path) -> None:
    """Makes sure that a run may go into a folder.

    Raises:
        UsageError: If there is anything in it; nothing is ever overwritten.
    """
    if holds_run(folder) and not is_finished(folder):
        raise UsageError(
            f"{folder} holds an unfinished run, and runs never overwrite anything",
            f"resume it with `surgeon resume {folder}`, or give another folder (--out)",
        )
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty, and runs never overwrite anything", "give another folder (--out)")


def holds_run(folder: Path) -> bool:
    """Tells whether a folder holds a run, finished or not."""
    return (folder / _RECIPE).exists()


def is_begun(folder: Path) -> bool:
    """Tells whether an epoch of a run was finished; before that there is nothing in its folder to go on from."""
    return (folder / CHECKPOINT).exists() or is_finished(folder)


def is_finished(folder: Path) -> bool:
    """Tells whether a run was brought to its end."""
    return (folder / _RESULT).exists()


def read_result(folder: Path) -> RunResult:
    """Returns what a run came to.

    Raises:
        UsageError: If the folder holds no run, or one that is not finished.
        SurgeonError: If the file is damaged.
    """
    recipe_of(folder)
    if not is_finished(folder):
        raise UsageError(f"the run in {folder} is not finished", f"finish it with `surgeon resume {folder}`")
    path = folder / _RESULT
    with damage_told(path, f"{RERUN}; `surgeon predict` does without it"):
        record = json.loads(read_regular(path, _MOST_BYTES))
        check_version(path, record, RESULT_VERSION)
        return run_result(record)


def recipe_of(folder: Path) -> Path:
    """Returns the recipe of a run.

    Raises:
        UsageError: If the folder holds no run.
    """
    if not holds_run(folder):
        found = (
            f"{folder} holds no run: there is no {_RECIPE} in it" if folder.is_dir() else f"there is no folder {folder}"
        )
        raise UsageError(found, _runs_in(folder) or "give the folder that a run printed")
    return folder / _RECIPE


def _runs_in(folder: Path) -> str | None:
    """Returns which runs lie in a folder that is none, the latest; None if there are none, or it cannot be read."""
    with suppress(OSError):
        runs = sorted(inner.parent for inner in folder.glob(f"*/{_RECIPE}"))
        if runs:
            latest = max(runs, key=lambda run: (run / _RECIPE).stat().st_mtime)
            return f"runs in this folder: {len(runs)}; the latest is {latest}"
    return None


@contextmanager
def removed_unless(is_begun: Callable[[Path], bool], folder: Path) -> Iterator[None]:
    """Takes the folder of a run or a sweep away again if it fails before there is something in it to go on from.

    Weights that cannot be had or an extra that is missing shall not stand in the way of the next try. What a person has
    stopped stays, and so does a folder that was there before.
    """
    existed = folder.exists() and any(folder.iterdir())
    try:
        yield
    except RunInterruptedError:
        raise
    except Exception:
        if not existed and not is_begun(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def run_in_use(folder: Path) -> Iterator[None]:
    """Keeps a run to one process.

    Raises:
        UsageError: If another process works on it.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(f"{folder} is in use by another process", "wait until it ends, or stop it") from error
    try:
        yield
    finally:
        lock.release()


def record_event(folder: Path, event: Event) -> None:
    """Appends an event to ``events.jsonl`` and an epoch to ``history.csv``; what passes by is left out."""
    if isinstance(event, Progress | BatchEnded):
        return
    with (folder / _EVENTS).open("a", encoding="utf-8") as events:
        events.write(json.dumps(event_record(event)) + "\n")
    if isinstance(event, EpochEnded):
        path = folder / HISTORY
        if not path.exists():
            _write_csv(path, HISTORY_COLUMNS, ())
        with path.open("a", newline="", encoding="utf-8") as history:
            figures = {"seconds": event.seconds, **event.figures}
            write_rows(history, [_history_row(event.phase, event.epoch, figures)])


def write_history(folder: Path, phases: Iterable[tuple[str, Mapping[str, Sequence[float]]]]) -> None:
    """Writes the history anew, from the name and the figures of each phase."""
    rows = (
        _history_row(name, epoch, dict(zip(history, figures, strict=True)))
        for name, history in phases
        for epoch, figures in enumerate(zip(*history.values(), strict=True), start=1)
    )
    _write_csv(folder / HISTORY, HISTORY_COLUMNS, rows)


def mend_events(folder: Path) -> None:
    """Cuts off the half line that a power failure may have left, so that events go on behind a whole one."""
    events = folder / _EVENTS
    if events.exists():
        whole, newline, _ = read_regular(events, _MOST_BYTES).rpartition(b"\n")
        events.write_bytes(whole + newline)


def _history_row(phase: str, epoch: int, figures: Mapping[str, float]) -> list[Any]:
    row = {"phase": phase, "epoch": epoch, **figures, "seconds": round(figures["seconds"], 3)}
    return [row.get(column, "") for column in HISTORY_COLUMNS]


def write_splits(folder: Path, dataset: Dataset) -> None:
    """Writes ``splits.csv``: which image is in which split."""
    labels = [dataset.classes[number] for number in dataset.labels]
    rows = zip(dataset.names, labels, dataset.splits, dataset.digests, strict=True)
    _write_csv(folder / _SPLITS, _SPLIT, rows)


@dataclass(frozen=True, eq=False)
class Predictions:
    """The test images of a run and what its network said of them; all but ``classes`` are aligned.

    Attributes:
        classes: Names of the classes; a class's number is its position.
        files: Names of the images in their source.
        labels: Class numbers, of shape (n,).
        probabilities: Of shape (n, classes).
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: NDArray[np.intp]
    probabilities: NDArray[np.float32]

    @property
    def predicted(self) -> NDArray[np.intp]:
        """The likeliest class numbers, of shape (n,)."""
        return np.asarray(self.probabilities.argmax(axis=1))


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Writes ``predictions.csv``: what a network said of each image."""
    classes = predictions.classes
    rows = (
        (file, classes[label], classes[row.argmax()], *(f"{value:.6g}" for value in row))
        for file, label, row in zip(predictions.files, predictions.labels, predictions.probabilities, strict=True)
    )
    _write_csv(folder / PREDICTIONS, (*_PREDICTED, *classes), rows)


def read_predictions(folder: Path) -> Predictions | None:
    """Returns what a run's network said of its test images, or None if there were none.

    Raises:
        SurgeonError: If the file is damaged.
    """
    path = folder / PREDICTIONS
    if not path.exists():
        return None
    files, labels, probabilities = [], [], []
    with _table(path) as (header, rows):
        # By position, since a class may be called as another column is.
        classes = _expect_columns(header, _PREDICTED)
        numbers = {name: number for number, name in enumerate(classes)}
        for file, label, _, *cells in rows:
            if label not in numbers:
                raise ValueError(f"{label!r} is not a class")
            files.append(file)
            labels.append(numbers[label])
            probabilities.append(np.array(cells, np.float32))
        stacked = np.stack(probabilities)
        if not ((stacked >= 0) & (stacked <= 1.001)).all():
            raise ValueError("there are other numbers than probabilities")
    return Predictions(classes, tuple(files), np.array(labels, np.intp), stacked)


def read_splits(folder: Path) -> dict[tuple[str, str], str]:
    """Returns the split of each image of a run, by its name and the SHA-256 of its bytes.

    Raises:
        SurgeonError: If the file is damaged.
    """
    with _split_rows(folder) as rows:
        return {(file, digest): split for file, _, split, digest in rows}


def count_images(folder: Path, classes: Sequence[str]) -> dict[str, Counter[str]]:
    """Returns how many images of a run each class has in each split.

    Raises:
        SurgeonError: If the file is damaged.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in classes}
    with _split_rows(folder) as rows:
        for _, label, split, _ in rows:
            counts.setdefault(label, Counter())[split] += 1
    return counts


@contextmanager
def _split_rows(folder: Path) -> Iterator[Iterator[list[str]]]:
    with _table(folder / _SPLITS) as (header, rows):
        _expect_columns(header, _SPLIT)
        yield rows


@contextmanager
def _table(path: Path) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
    """Opens a CSV file of a run; gives its header and its other rows, all of one length."""
    with damage_told(path, RERUN), open_regular(path, _MOST_ROWS_BYTES) as content:
        text = io.TextIOWrapper(content, encoding="utf-8", newline="")
        rows = read_rows(iter(lambda: text.readline(_LONGEST_ROW), ""))
        header = next(rows, [])

        def rectangle() -> Iterator[list[str]]:
            for number, row in enumerate(rows, start=2):
                if len(row) != len(header):
                    raise ValueError(f"{len(row)} cells in row {number}, expected {len(header)}")
                yield row

        yield header, rectangle()


def _expect_columns(header: Sequence[str], expected: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns after those that a file has to begin with."""
    if tuple(header[: len(expected)]) != tuple(expected):
        raise ValueError(f"its columns are {', '.join(header[:5]) or 'missing'}, expected {', '.join(expected)}")
    return tuple(header[len(expected) :])


@dataclass(frozen=True)
class _EventLine:
    """A line of ``events.jsonl``, as far as a page shows it."""

    event: str
    text: str = ""


def read_notes(folder: Path) -> list[str]:
    """Returns what a run said on its way, each thing once.

    Raises:
        SurgeonError: If the file is damaged.
    """
    path = folder / _EVENTS
    with damage_told(path, "restore it from a copy, or remove it: the page is then without the notes of the run"):
        lines = read_regular(path, _MOST_BYTES).splitlines() if path.exists() else []
        events = [record_of(json.loads(line), _EventLine) for line in lines]
    return list(dict.fromkeys(event.text for event in events if event.event == Note.__name__))


def save_model(folder: Path, name: str, model: Any) -> None:
    """Writes a Keras model into a run; an earlier one of that name stays until the new one is whole."""
    partial = folder / "partial.keras"
    model.save(partial)
    partial.replace(folder / name)


def finish_run(folder: Path, result: RunResult) -> None:
    """Writes ``result.json``, the sign that a run is finished; its checkpoint has served."""
    write_whole(folder / _RESULT, json.dumps(result_record(result), indent=2) + "\n")
    (folder / CHECKPOINT).unlink(missing_ok=True)


def write_whole(path: Path, text: str | Iterable[str]) -> None:
    """Writes a file that is there as a whole or not at all; a long one may come in pieces."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines([text] if isinstance(text, str) else text)
    partial.replace(path)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        write_rows(file, itertools.chain([header], rows))
