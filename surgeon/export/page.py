"""From a run's folder to the page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from surgeon.data.images import decode_image, fit_image
from surgeon.evaluation.calibration import bootstrap, calibrate, class_curves
from surgeon.export.explaining import build_explainer
from surgeon.export.pictures import draw_thumbnails, look_at_phases, square
from surgeon.model.bundle import read_bundle
from surgeon.recipe.text import dump_text
from surgeon.report.card import render_card
from surgeon.report.page import Page, Shown, render_page
from surgeon.results.events import Progress
from surgeon.training.lock import read_lock
from surgeon.training.run_folder import count_images, read_notes, read_predictions

if TYPE_CHECKING:
    from PIL import Image

    from surgeon.catalogue.sources.listing import LabelledImage
    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event
    from surgeon.results.run import RunResult
    from surgeon.training.run_folder import Predictions

_SHOWN = 400  # test images on a page
_EXPLAINED = 12  # mistakes


def write_report(plan: Plan, run: Path, result: RunResult, path: Path) -> Generator[Event, None, None]:
    """Writes the page of a run whose other files are there."""
    tested = read_predictions(run)
    shown: list[Shown] = []
    if tested is not None:
        shown = yield from _look_at(plan, run, tested)
    lock = read_lock(run) or {}
    machine = lock.get("hardware", {})
    page = Page(
        result=result,
        description=plan.description,
        recipe=dump_text(plan.recipe),
        versions={
            **lock.get("versions", {}),
            **({machine["processor"]: f"with {machine['cores']} cores"} if machine else {}),
        },
        counts=count_images(run, plan.classes),
        notes=read_notes(run),
        network=plan.network,
        phases=look_at_phases(plan),
        calibration=calibrate(tested.probabilities, tested.labels) if tested else None,
        intervals=bootstrap(tested.labels, tested.predicted) if tested else {},
        curves=class_curves(tested.probabilities, tested.labels, plan.classes) if tested else (),
        shown=shown,
        left_out=len(tested.files) - len(shown) if tested else 0,
    )
    path.write_text(render_page(page), encoding="utf-8")


def write_card(plan: Plan, run: Path, result: RunResult, path: Path) -> None:
    """Writes the model card of a run."""
    tested = read_predictions(run)
    calibration = calibrate(tested.probabilities, tested.labels) if tested else None
    intervals = bootstrap(tested.labels, tested.predicted) if tested else {}
    path.write_text(render_card(plan, result, dump_text(plan.recipe), calibration, intervals), encoding="utf-8")


def _look_at(plan: Plan, run: Path, tested: Predictions) -> Generator[Event, None, list[Shown]]:
    """Returns the images that the page shows: all mistakes first, then the hits, the least sure ones first."""
    right = tested.predicted == tested.labels
    sureness = tested.probabilities.max(axis=1)
    order = np.lexsort((np.where(right, sureness, -sureness), right))[:_SHOWN]
    images = yield from draw_thumbnails(plan, [tested.files[at] for at in order])
    explained = [int(at) for at in order[~right[order]] if tested.files[at] in images][:_EXPLAINED]
    explain = _explainer(run) if explained else None
    shown: list[Shown] = []
    for at in order:
        if tested.files[at] not in images:
            continue
        image, thumbnail = images[tested.files[at]]
        number = int(tested.predicted[at])
        if at in explained:
            yield Progress("explain mistakes", explained.index(at) + 1, len(explained), "images")
        shown.append(
            Shown(
                file=tested.files[at],
                thumbnail=thumbnail,
                label=plan.classes[tested.labels[at]],
                predicted=plan.classes[number],
                probability=float(tested.probabilities[at, number]),
                explanation=explain(image, number) if explain and at in explained else None,
            )
        )
    return shown


def _explainer(run: Path) -> Callable[[LabelledImage, int], Image.Image]:
    """Returns a function from an image and a class to its thumbnail with Grad-CAM over it."""
    bundle = read_bundle(run)
    explain = build_explainer(run, bundle, "grad-cam")

    def explain_image(image: LabelledImage, number: int) -> Image.Image:
        picture = decode_image(image.read())
        return square(explain(fit_image(picture, bundle.image_size), number).resize(picture.size))

    return explain_image
