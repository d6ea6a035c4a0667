"""The files of a run. Each is whole or absent; ``result.json`` comes last."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgeon.errors import UsageError
from surgeon.recipe.text import dump_text
from surgeon.results import BatchEnded, EpochEnded, Event, Progress, RunResult, event_record, result_record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan

_HISTORY = ("phase", "epoch", "seconds", "lr", "loss", "accuracy", "val_loss", "val_accuracy")


def create_run_folder(plan: Plan, out: Path | None) -> Path:
    """Makes the folder of a run, ``runs/NAME-TIME`` if none is asked for, and writes its ``recipe.yaml``.

    Raises:
        UsageError: If it exists; nothing is ever overwritten.
    """
    folder = out or Path("runs") / f"{plan.name}-{datetime.now():%Y%m%d-%H%M%S}"
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError(f"{folder} exists, and a run never overwrites", "give another --out") from error
    (folder / "recipe.yaml").write_text(dump_text(plan.recipe), encoding="utf-8")
    return folder


def record_event(folder: Path, event: Event) -> None:
    """Appends an event to ``events.jsonl`` and an epoch to ``history.csv``; what passes by is left out."""
    if isinstance(event, Progress | BatchEnded):
        return
    with (folder / "events.jsonl").open("a", encoding="utf-8") as events:
        events.write(json.dumps(event_record(event), ensure_ascii=False) + "\n")
    if isinstance(event, EpochEnded):
        row = {"phase": event.phase, "epoch": event.epoch, "seconds": round(event.seconds, 3), **event.figures}
        path = folder / "history.csv"
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as history:
            writer = csv.DictWriter(history, _HISTORY)
            if is_new:
                writer.writeheader()
            writer.writerow(row)


def write_splits(folder: Path, dataset: Dataset) -> None:
    """Writes ``splits.csv``: which image is in which split."""
    labels = [dataset.classes[number] for number in dataset.labels]
    rows = zip(dataset.names, labels, dataset.splits, dataset.digests, strict=True)
    _write_csv(folder / "splits.csv", ("file", "label", "split", "sha256"), rows)


def write_predictions(
    folder: Path, dataset: Dataset, positions: NDArray[np.intp], probabilities: NDArray[np.float32]
) -> None:
    """Writes ``predictions.csv``: the probabilities of each class for the images at ``positions``."""
    classes = dataset.classes
    rows = (
        (dataset.names[at], classes[dataset.labels[at]], classes[row.argmax()], *(f"{value:.6g}" for value in row))
        for at, row in zip(positions, probabilities, strict=True)
    )
    _write_csv(folder / "predictions.csv", ("file", "label", "predicted", *classes), rows)


def save_model(folder: Path, model: Any) -> None:
    """Writes ``model.keras``; an earlier one stays until the new one is whole."""
    partial = folder / "partial.keras"
    model.save(partial)
    partial.replace(folder / "model.keras")


def write_result(folder: Path, result: RunResult) -> None:
    """Writes ``result.json``, the sign that a run is finished."""
    partial = folder / "result.json.partial"
    partial.write_text(json.dumps(result_record(result), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / "result.json")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
