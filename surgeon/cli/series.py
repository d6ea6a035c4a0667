"""``surgeon run --repeat`` and ``--folds``: what runs of one recipe come to together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from surgeon.cli.output import Format, print_json, print_text
from surgeon.cli.running import progress_console
from surgeon.report.progress import ProgressDisplay
from surgeon.report.terminal import styled

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan
    from surgeon.results.run import Spread
    from surgeon.results.subscribers import Tracker


def train_series(
    plan: Plan, seeds: int | None, out: Path | None, output_format: Format, *, quiet: bool, log: Collection[Tracker]
) -> None:
    """Trains with some seeds, or else each fold, and prints what came of it: that is asked for, quiet or not."""
    from surgeon.series import cross_validate, repeat, series_record

    with ProgressDisplay(progress_console(output_format, quiet=quiet)) as display:
        if seeds is None:
            series = cross_validate(plan, folder=out, on_event=display.show, log=log)
        else:
            series = repeat(plan, seeds, out, on_event=display.show, log=log)
    if output_format is Format.json:
        print_json(series_record(series))
        return
    from surgeon.report.results import classification_table, spread_table

    if series.evaluation is not None:
        total = series.evaluation.weighted.support
        title = f"{series.runs[0].result.name}: {total} images, each tested once"
        print_text(classification_table(series.evaluation, title))
    print_text(spread_table(series.figures))
    if series.evaluation is None:
        print_text(*_expected(series.figures))
    print_text(styled("the runs are in ", (str(series.folder), "bold")))


def _expected(spreads: Mapping[str, Spread]) -> list[str]:
    """Returns the lines with which a recipe says what to expect of it."""
    lines = [
        f"  {name.removeprefix('network ')}: {{mean: {spread.mean:.4f}, std: {spread.std:.4f}}}"
        for name, spread in spreads.items()
        if name.startswith("network ")
    ]
    return ["to record this in the recipe:", "expected:", *lines]
