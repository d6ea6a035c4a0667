"""From a run's folder to the page that shows it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from surgeon.errors import reason_of
from surgeon.evaluation.calibration import bootstrap, calibrate
from surgeon.evaluation.curves import class_curves
from surgeon.publishing.pictures import (
    explained_pictures,
    keep_pictures,
    look_at_phases,
    opened,
    page_order,
)
from surgeon.recipe.bundle import MODEL
from surgeon.recipe.complete import shorten
from surgeon.recipe.text import dump_text
from surgeon.report.figures import draw_confusion, draw_curves
from surgeon.report.page import Page, Shown, render_page
from surgeon.results.events import Note
from surgeon.runs.folder import REPORT, count_images, read_notes, read_predictions, write_whole
from surgeon.runs.lock import read_lock
from surgeon.runs.pictures import PICTURES

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event
    from surgeon.results.run import RunResult
    from surgeon.runs.folder import Predictions


def publish(plan: Plan, run: Path, result: RunResult) -> Generator[Event, None, bool]:
    """Puts into a finished run what shows it and what is used of it; whatever is raised meanwhile becomes a note.

    That is the network from pixels to probabilities, the images that it keeps, curves, confusion matrix and page.

    Returns:
        Whether the page is there.
    """
    failed: list[str] = []
    if not (run / MODEL).exists():
        with _survived(MODEL, failed):
            from surgeon.inference.whole import save_whole_network  # noqa: PLC0415  needs TensorFlow, drawing does not

            save_whole_network(run)
    if not (run / PICTURES).exists():
        with _survived(PICTURES, failed):
            yield from keep_pictures(plan, run)
    with _survived("curves.png", failed):
        draw_curves(result, run / "curves.png")
    with _survived("confusion.png", failed):
        if result.evaluation is not None:
            draw_confusion(result.evaluation, run / "confusion.png")
    is_written = False
    with _survived(REPORT, failed):
        yield from write_report(plan, run, result, run / REPORT)
        is_written = True
    for said in failed:
        yield Note(f"{said}; `surgeon report {run}` writes it later")
    return is_written


@contextmanager
def _survived(what: str, failed: list[str]) -> Iterator[None]:
    """Puts down what is missing and why, whatever was raised: a font, a disk, a library is not worth a run."""
    try:
        yield
    except Exception as error:
        failed.append(f"no {what}: {reason_of(error)}")


def write_report(plan: Plan, run: Path, result: RunResult, path: Path) -> Generator[Event, None, None]:
    """Writes the page of a run whose other files are there; without its images if those cannot be shown."""
    tested = read_predictions(run)
    shown: list[Shown] = []
    method, failed = "", list[str]()
    if tested is not None:
        with _survived("images on the page", failed):
            shown, method = yield from _look_at(plan, run, tested)
    for said in failed:
        yield Note(said)
    lock = read_lock(run)
    machine = lock["hardware"] if lock else {}
    page = Page(
        result=result,
        description=plan.description,
        recipe=dump_text(shorten(plan.recipe)),
        resolved=dump_text(plan.recipe),
        versions=[
            *(f"{name} {version}" for name, version in (lock["versions"] if lock else {}).items()),
            *([f"{machine.get('processor')} with {machine.get('cores')} cores"] if machine else []),
        ],
        counts=count_images(run, plan.classes),
        notes=read_notes(run),
        network=plan.network,
        phases=look_at_phases(plan),
        calibration=calibrate(tested.probabilities, tested.labels) if tested else None,
        intervals=bootstrap(tested.labels, tested.predicted) if tested else {},
        curves=class_curves(tested.probabilities, tested.labels, tested.classes) if tested else (),
        shown=shown,
        left_out=len(tested.files) - len(shown) if tested else 0,
        method=method,
    )
    write_whole(path, render_page(page))


def _look_at(plan: Plan, run: Path, tested: Predictions) -> Generator[Event, None, tuple[list[Shown], str]]:
    """Returns the images that the page shows, and how they are explained, if any is."""
    order = [int(at) for at in page_order(tested)]
    pictures = yield from explained_pictures(plan, run, tested)
    found = {at: pictures[tested.files[at]] for at in order if tested.files[at] in pictures}
    small = {at: drawn for at, picture in found.items() if (drawn := opened(picture.thumbnail)) is not None}
    return [
        Shown(
            file=tested.files[at],
            picture=drawn,
            label=tested.classes[tested.labels[at]],
            predicted=tested.classes[tested.predicted[at]],
            probability=float(tested.probabilities[at].max()),
            explanation=opened(found[at].explanation),
        )
        for at, drawn in small.items()
    ], next((picture.explained_by for picture in found.values() if picture.explained_by), "")
