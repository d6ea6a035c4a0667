"""``surgeon run --repeat``: the spread that a change of seed makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from surgeon.cli.output import Format, print_json, print_text
from surgeon.cli.running import progress_console
from surgeon.errors import SurgeonError, UsageError
from surgeon.report.progress import ProgressDisplay
from surgeon.report.terminal import styled

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan
    from surgeon.results.run import Spread
    from surgeon.results.subscribers import Tracker


def repeat_and_print(
    plans: Sequence[Plan], out: Path | None, output_format: Format, *, quiet: bool, log: Collection[Tracker]
) -> None:
    """Runs plans that differ in their seed and prints the spread of what they came to: that is asked for, quiet or not.

    Runs that are there already are taken as they are, or up where they were stopped.

    Raises:
        UsageError: If one of them is of another recipe.
        SurgeonError: If there are no test images.
    """
    from surgeon.api import train
    from surgeon.results.run import headline_figures, spread_of
    from surgeon.run import open_run
    from surgeon.runs.folder import holds_run, is_finished, new_folder
    from surgeon.runs.plan_file import read_plan

    parent = new_folder(plans[0].name) if out is None else out
    console = progress_console(output_format, quiet=quiet)
    folders = [parent / f"seed-{plan.seed}" for plan in plans]
    for plan, folder in zip(plans, folders, strict=True):
        if holds_run(folder) and read_plan(folder).recipe != plan.recipe:
            raise UsageError(f"{folder} is a run of another recipe", "give another --out")
    results = []
    for plan, folder in zip(plans, folders, strict=True):
        console.show(styled((f"seed {plan.seed}", "bold")))
        if is_finished(folder):
            results.append(open_run(folder).result)
            continue
        with ProgressDisplay(console) as display:
            results.append(train(plan, folder, on_event=display.show, log=log).result)
    figures = [headline_figures(result) for result in results]
    spreads = {name: spread_of([run[name] for run in figures]) for name in figures[0]}
    if not spreads:
        raise SurgeonError("there are no test images, so nothing was measured", "hold some out: data.split.test: 0.2")
    if output_format is Format.json:
        record = {name: dataclasses.asdict(spread) for name, spread in spreads.items()}
        print_json({"runs": [str(folder) for folder in folders], "figures": record})
    else:
        from surgeon.report.results import spread_table

        where = styled("the runs are in ", (str(folder), "bold"))
        print_text(spread_table(spreads), *_expected(spreads), where)


def _expected(spreads: Mapping[str, Spread]) -> list[str]:
    """Returns the lines with which a recipe says what to expect of it."""
    lines = [
        f"  {name.removeprefix('network ')}: {{mean: {spread.mean:.4f}, std: {spread.std:.4f}}}"
        for name, spread in spreads.items()
        if name.startswith("network ")
    ]
    return ["in the recipe:", "expected:", *lines]
