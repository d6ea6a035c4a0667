"""``surgeon probe``: where to cut."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surgeon.cli.output import Format, FormatOption, RecipeArgument, SetOption, print_json, print_text
from surgeon.cli.running import progress_console
from surgeon.cli.searching import ChartOption, WriteOption, check_outputs
from surgeon.recipe.compiler import compile_recipe
from surgeon.report.progress import ProgressDisplay

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan
    from surgeon.results.probe import CutResult, ProbeResult


def command(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    backbones: Annotated[
        str,
        typer.Option(metavar="NAME,...", help="Measure these networks instead of the recipe's.", show_default=False),
    ] = "",
    every_layer: Annotated[
        bool, typer.Option("--every-layer", help="Measure every layer, not only the ends of blocks.")
    ] = False,
    chart: ChartOption = None,
    write: WriteOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Find out where to cut: the accuracy of a linear classifier on the features of each block, and their cost.

    Test images are not used.
    """
    from surgeon.recipe.derived import write_derived
    from surgeon.report.probe import cuts_table, draw_cuts, reasons, suggestion_text
    from surgeon.searches import probe

    plan = compile_recipe(recipe, overrides or ())
    check_outputs(write, chart, overrides or ())
    names = [name.strip() for name in backbones.split(",") if name.strip()]
    with ProgressDisplay(progress_console(output_format, quiet=False)) as display:
        found = probe(plan, names, every_layer=every_layer, on_event=display.show)
    if output_format is Format.json:
        print_json(_record(found))
    else:
        print_text(cuts_table(found), *suggestion_text(found))
    if write is not None:
        write_derived(recipe, {"backbone": _backbone(found.suggested, plan)}, reasons(found), write)
    if chart is not None:
        draw_cuts(found, chart)


def _record(found: ProbeResult) -> dict[str, Any]:
    cuts = [{**dataclasses.asdict(cut), "megabytes": cut.megabytes} for cut in found.cuts]
    return {
        **dataclasses.asdict(found),
        "cuts": cuts,
        "best": cuts[found.cuts.index(found.best)],
        "suggested": cuts[found.cuts.index(found.suggested)],
    }


def _backbone(cut: CutResult, plan: Plan) -> dict[str, Any]:
    """Returns what a recipe says of the backbone if it is to be cut so; None removes what it has said."""
    if cut.backbone == plan.network.name:
        return {"cut": cut.cut}
    weights = "none" if plan.backbone.weights == "none" else "imagenet"
    return {"name": cut.backbone, "model": None, "preprocessing": None, "weights": weights, "cut": cut.cut}
