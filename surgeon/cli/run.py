"""``surgeon run``."""

from __future__ import annotations

from typing import Annotated

import typer

from surgeon.cli.output import Format, FormatOption, QuietOption, RecipeArgument, SetOption
from surgeon.cli.repeat import repeat_and_print
from surgeon.cli.running import LogOption, OutOption, new_run, run_and_print
from surgeon.recipe.compiler import compile_recipe


def command(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    repeat: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Run with N seeds and tell mean and spread.", show_default=False),
    ] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
    log: LogOption = None,
) -> None:
    """Train what a recipe asks for, phase by phase, and measure it."""
    from surgeon.runs.folder import new_folder

    plan = compile_recipe(recipe, overrides or ())
    folder = out or new_folder(plan)
    if repeat is not None:
        plans = [compile_recipe(recipe, [*(overrides or ()), f"seed={plan.seed + at}"]) for at in range(repeat)]
        repeat_and_print(plans, folder, output_format, quiet=quiet, log=log or ())
        return
    with new_run(plan, folder):
        run_and_print(plan, folder, output_format, quiet=quiet, log=log or ())
