"""``surgeon run --repeat``: the spread that a change of seed makes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from surgeon.cli.output import Format, open_console, print_json, print_text
from surgeon.cli.running import run_plan
from surgeon.errors import SurgeonError, UsageError
from surgeon.recipe.compiler import compile_recipe

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan


def repeat_and_print(plans: Sequence[Plan], folder: Path, output_format: Format, *, quiet: bool) -> None:
    """Runs plans that differ in their seed and prints the spread of what they came to.

    Runs that are there already are taken as they are, or up where they were stopped.

    Raises:
        UsageError: If one of them is of another recipe.
        SurgeonError: If there are no test images.
    """
    from surgeon.results import headline_figures
    from surgeon.training.run_folder import create_run_folder, read_result, recipe_of

    console = open_console(stderr=True, quiet=quiet or output_format is Format.json)
    folders = [folder / f"seed-{plan.seed}" for plan in plans]
    for plan, own in zip(plans, folders, strict=True):
        if not own.exists():
            create_run_folder(plan, own)
        elif compile_recipe(recipe_of(own)).recipe != plan.recipe:
            raise UsageError(f"{own} is a run of another recipe", "give another --out")
    records = []
    for plan, own in zip(plans, folders, strict=True):
        console.print(f"[bold]seed {plan.seed}[/]")
        if read_result(own) is None:
            run_plan(plan, own, console)
        records.append(headline_figures(read_result(own) or {}))
    values = {name: [record[name] for record in records] for name in records[0]}
    if not values:
        raise SurgeonError("there are no test images, so nothing was measured", "hold some out: data.split.test: 0.2")
    if output_format is Format.json:
        spread = {name: _spread(found) for name, found in values.items()}
        print_json({"runs": [str(own) for own in folders], "figures": spread})
    elif not quiet:
        from surgeon.report.tables import repeat_table

        print_text(repeat_table(values), _expected(values), f"the runs are in [bold]{escape(str(folder))}[/]")


def _spread(values: Sequence[float]) -> dict[str, object]:
    return {"mean": statistics.fmean(values), "std": statistics.stdev(values), "values": list(values)}


def _expected(values: dict[str, list[float]]) -> str:
    """Returns the lines with which a recipe says what to expect of it."""
    lines = [
        f"  {name.removeprefix('network ')}: "
        f"{{mean: {statistics.fmean(found):.4f}, std: {statistics.stdev(found):.4f}}}"
        for name, found in values.items()
        if name.startswith("network ")
    ]
    return "\n".join(["in the recipe:", "expected:", *lines])
