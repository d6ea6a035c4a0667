"""``surgeon diff``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from surgeon.cli.output import Format, FormatOption, print_json, print_text
from surgeon.recipe.compiler import compile_recipe

_SIDE = "A recipe's file or the folder of a run."


def command(
    a: Annotated[Path, typer.Argument(metavar="A", help=_SIDE, show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help=_SIDE, show_default=False)],
    output_format: FormatOption = Format.text,
) -> None:
    """Compare two recipes or two runs: differences in the inputs and in the results."""
    from surgeon.runs.differences import compare

    (asked_a, came_a), (asked_b, came_b) = _sides(a), _sides(b)
    common = asked_a.keys() & asked_b.keys()  # a recipe has no lock
    asked = compare(*({key: side[key] for key in side if key in common} for side in (asked_a, asked_b)))
    came = compare(came_a, came_b) if came_a and came_b else ()
    if output_format is Format.json:
        print_json(
            {
                "asked": [dataclasses.asdict(difference) for difference in asked],
                "came_out": [dataclasses.asdict(difference) for difference in came],
            }
        )
        return
    from surgeon.report.results import differences_table

    for title, differences in (("different inputs", asked), ("different results", came)):
        if differences:
            print_text(differences_table(title, differences, str(a), str(b)))
    if not asked and not came:
        print_text("no differences")


def _sides(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what a recipe or a run asks for and stands on, and what it came to."""
    if not path.is_dir():
        return {"recipe": compile_recipe(path).recipe}, {}
    from surgeon.results.run import result_figures
    from surgeon.runs.folder import is_finished, read_result
    from surgeon.runs.lock import read_lock
    from surgeon.runs.plan_file import read_plan

    lock = read_lock(path)
    asked = {"recipe": read_plan(path).recipe} if lock is None else dict(lock)
    return asked, {"result": result_figures(read_result(path))} if is_finished(path) else {}
