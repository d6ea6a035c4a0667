"""``surgeon depth``: from where to train."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from surgeon.cli.output import Format, FormatOption, RecipeArgument, SetOption, print_json, print_text
from surgeon.cli.running import progress_console
from surgeon.cli.searching import ChartOption, WriteOption, check_outputs
from surgeon.recipe.compiler import compile_recipe
from surgeon.report.progress import ProgressDisplay


def command(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs per trial.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Trials per depth and learning rate.")] = 1,
    chart: ChartOption = None,
    write: WriteOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Find the first layer to train: the head alone, then from each block on, with a small grid of learning rates.

    Test images are not used.
    """
    from surgeon.recipe.derived import with_depth, write_derived
    from surgeon.report.depth import depths_table, draw_depths, reasons, suggestion_text
    from surgeon.searches import depth

    plan = compile_recipe(recipe, overrides or ())
    check_outputs(write, chart, overrides or ())
    with ProgressDisplay(progress_console(output_format, quiet=False), briefly=True) as display:
        found = depth(plan, epochs=epochs, seeds=seeds, on_event=display.show)
    if output_format is Format.json:
        print_json(
            {
                **dataclasses.asdict(found),
                "best": found.best.start,
                "suggested": found.suggested.start,
                "by_gradient": found.by_gradient.start,
            }
        )
    else:
        print_text(depths_table(found), *suggestion_text(found))
    if write is not None:
        phases = with_depth(recipe, found.suggested.start, found.suggested.rate)
        write_derived(recipe, {"phases": phases}, reasons(found), write)
    if chart is not None:
        draw_depths(found, chart)
