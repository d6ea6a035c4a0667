"""Where the figures of a run are logged besides its folder."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from surgeon.errors import SurgeonError
from surgeon.files import read_regular
from surgeon.recipe.text import leaves
from surgeon.records import damage_told
from surgeon.results.events import EpochEnded, Event
from surgeon.results.run import RunResult, headline_figures
from surgeon.results.subscribers import Tracker

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan

Log = Callable[["Event | RunResult"], None]

_RUN_ID = "mlflow.txt"  # which of MLflow's runs a folder is, for a resumed one
_RUN_ID_FORM = re.compile(r"[\w-]{1,250}")


@contextmanager
def tracked(trackers: Collection[Tracker], plan: Plan, folder: Path, warn: Callable[[str], None]) -> Iterator[Log]:
    """Opens trackers for the run in ``folder``; gives the function that takes its events and, at the end, its result.

    A tracker that fails later is left out and told, since a night's training is worth more than its log.

    Raises:
        SurgeonError: If a tracker cannot be reached.
    """
    logs: dict[Tracker, Log] = {}

    def log(entry: Event | RunResult) -> None:
        for tracker, log_one in list(logs.items()):
            try:
                log_one(entry)
            except Exception as error:  # a server, a disk, a limit: whatever it is, training goes on
                del logs[tracker]
                warn(f"{tracker.value} is not used any more, since it failed: {error}")

    opened: dict[Tracker, AbstractContextManager[Log]] = {}
    try:
        for tracker in trackers:
            try:
                opening = _TRACKERS[tracker](plan, folder)
                logs[tracker] = opening.__enter__()
            except SurgeonError:
                raise
            except Exception as error:
                raise SurgeonError(
                    f"{tracker.value} cannot be used: {error}", "fix this, or leave out --log"
                ) from error
            opened[tracker] = opening
        yield log
    finally:
        for tracker, opening in opened.items():
            try:
                opening.__exit__(*sys.exc_info())
            except Exception as error:  # what was trained is there, whatever becomes of its log
                warn(f"{tracker.value} was not closed: {error}")


@contextmanager
def _tensorboard(_: Plan, folder: Path) -> Iterator[Log]:
    """Writes event files into the run; a phase's figures have its name before theirs."""
    writer = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def log(entry: Event | RunResult) -> None:
        if isinstance(entry, EpochEnded):
            with writer.as_default(step=entry.epoch):
                for name, value in entry.figures.items():
                    tf.summary.scalar(f"{entry.phase}/{name}", value)
            writer.flush()

    with closing(writer):
        yield log


@contextmanager
def _mlflow(plan: Plan, folder: Path) -> Iterator[Log]:
    """Logs to where MLflow's own environment variables say: the recipe, epochs, and at the end figures and files."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output is the result's
    import mlflow  # noqa: PLC0415  an extra, which reads its environment when it is imported

    known = folder / _RUN_ID
    before = _read_run_id(known) if known.exists() else None
    with mlflow.start_run(run_id=before, run_name=None if before else folder.name) as run:
        known.write_text(run.info.run_id, encoding="utf-8")
        mlflow.log_params({".".join(map(str, path)): value for path, value in leaves(plan.recipe)})

        def log(entry: Event | RunResult) -> None:
            if isinstance(entry, EpochEnded):
                figures = {f"{entry.phase}/{name}": value for name, value in entry.figures.items()}
                mlflow.log_metrics(_allowed(figures), step=entry.epoch)
            elif isinstance(entry, RunResult):
                mlflow.log_metrics(_allowed(headline_figures(entry)))
                mlflow.log_artifacts(str(folder))

        yield log


def _read_run_id(path: Path) -> str:
    with damage_told(path, "remove it; then MLflow begins another run"):
        found = read_regular(path, 1000).decode("utf-8").strip()
        if not _RUN_ID_FORM.fullmatch(found):
            raise ValueError("it does not hold the name of a run")
        return found


def _allowed(figures: Mapping[str, float]) -> dict[str, float]:
    """Returns figures by names that MLflow takes."""
    return {re.sub(r"[^\w/.\- ]", "_", name): value for name, value in figures.items()}


_TRACKERS: Mapping[Tracker, Callable[[Plan, Path], AbstractContextManager[Log]]] = {
    Tracker.tensorboard: _tensorboard,
    Tracker.mlflow: _mlflow,
}
