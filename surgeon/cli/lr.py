"""``surgeon lr``: which learning rate."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from surgeon.cli.output import Format, FormatOption, RecipeArgument, SetOption, print_json, print_text
from surgeon.cli.running import progress_console
from surgeon.cli.searching import ChartOption, WriteOption, check_outputs
from surgeon.errors import SurgeonError
from surgeon.recipe.compiler import compile_recipe
from surgeon.report.progress import ProgressDisplay


def command(
    recipe: RecipeArgument,
    phase: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which phase; by default the first.", show_default=False),
    ] = None,
    overrides: SetOption = None,
    chart: ChartOption = None,
    write: WriteOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Find a learning rate for a phase: train a few steps at increasing rates, after the phases before it.

    Test images are not used.
    """
    from surgeon.recipe.derived import with_rate, write_derived
    from surgeon.report.lr_range import draw_lr_range, suggestion_text
    from surgeon.searches import lr_range

    plan = compile_recipe(recipe, overrides or ())
    check_outputs(write, chart, overrides or ())
    with ProgressDisplay(progress_console(output_format, quiet=False)) as display:
        found = lr_range(plan, phase, on_event=display.show)
    if output_format is Format.json:
        print_json({**dataclasses.asdict(found), "lowest": found.lowest, "suggested": found.suggested})
    else:
        print_text(suggestion_text(found))
    if chart is not None:
        draw_lr_range(found, chart)
    if write is not None:
        if found.suggested is None:
            raise SurgeonError(
                f"{write} was not written: no learning rate is suggested",
                f"look at {chart}, and set the rate by hand" if chart else "look at the curve with --chart",
            )
        reasons = [f"Found by `surgeon lr`: {suggestion_text(found).plain}"]
        write_derived(recipe, {"phases": with_rate(recipe, found.number, found.suggested)}, reasons, write)
