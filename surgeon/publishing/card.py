"""The model card of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surgeon.errors import UsageError
from surgeon.evaluation.calibration import bootstrap, calibrate
from surgeon.recipe.complete import shorten
from surgeon.recipe.text import dump_text
from surgeon.report.card import render_card
from surgeon.runs.folder import read_predictions

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.recipe.plan import Plan
    from surgeon.results.run import RunResult


def write_card(plan: Plan, run: Path, result: RunResult, path: Path) -> None:
    """Writes the model card of a run.

    Raises:
        UsageError: If there is such a file already.
    """
    if path.exists():
        raise UsageError(f"{path} exists", "give another file (--out)")
    tested = read_predictions(run)
    calibration = calibrate(tested.probabilities, tested.labels) if tested else None
    intervals = bootstrap(tested.labels, tested.predicted) if tested else {}
    path.write_text(
        render_card(plan, result, dump_text(shorten(plan.recipe)), calibration, intervals), encoding="utf-8"
    )
