"""A recipe whose run ends soon, on this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from surgeon.data.dataset import index_images
from surgeon.data.draft import Choices, draft_recipe
from surgeon.planning.forecast import forecast_run
from surgeon.planning.machine import measure_machine
from surgeon.recipe.compiler import compile_document
from surgeon.recipe.document import parse_document

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from surgeon.data.survey import Survey
    from surgeon.results.events import Event

MINUTES = 2
_FORECAST = 75  # seconds; the images are decoded, the network is compiled and the page is drawn besides
# What is given up one after the other: half of the copies and epochs, pixels, and at last all but the head.
_LADDER = (
    Choices(),
    Choices(views=4, epochs=8),
    Choices(views=2, epochs=8, side=160),
    Choices(views=2, epochs=8, side=128),
    Choices(views=2, epochs=4, side=128),
    Choices(views=2, epochs=8, side=128, trainable="head"),
)


def draft_quick_recipe(survey: Survey, file: Path) -> Generator[Event, None, tuple[str, str]]:
    """Returns the best recipe that ends within two minutes or, if none does, the smallest; and which of both it is.

    Args:
        survey: The images.
        file: Where the recipe will stand; see ``draft_recipe``.
    """
    machine, index = measure_machine(), None
    for choices in _LADDER:
        plan = compile_document(parse_document(draft_recipe(survey, file, choices), file))
        if index is None:
            index = yield from index_images(plan.data, looks=False)
        seconds = forecast_run(plan, index, machine).expected_seconds.all
        if seconds <= _FORECAST:
            break
    reason = f"Sized to finish within {MINUTES} minutes on the machine where it was drafted."
    if seconds > _FORECAST:
        reason = f"The smallest recipe that `init --quick` drafts; it may take more than {MINUTES} minutes."
    return draft_recipe(survey, file, replace(choices, reasons=(reason,))), reason
