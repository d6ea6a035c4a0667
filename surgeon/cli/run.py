"""``surgeon run``."""

from __future__ import annotations

from typing import Annotated

import typer

from surgeon.cli.output import Format, FormatOption, QuietOption, RecipeArgument, SetOption
from surgeon.cli.running import LogOption, OutOption, print_run, progress_console
from surgeon.cli.series import train_series
from surgeon.errors import UsageError
from surgeon.recipe.compiler import compile_recipe
from surgeon.report.progress import ProgressDisplay


def command(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    repeat: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Run with N seeds and report mean and spread.", show_default=False),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Cross-validate: run N times, each time testing on a different part of the images.",
            show_default=False,
        ),
    ] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
    log: LogOption = None,
) -> None:
    """Train a recipe, phase by phase, and evaluate the result."""
    if repeat is not None and folds is not None:
        raise UsageError("--repeat and --folds cannot be combined", "give only one of them")
    plan = compile_recipe(recipe, [*(overrides or ()), *([] if folds is None else [f"data.folds={folds}"])])
    if folds is not None and plan.data.fold is not None:
        raise UsageError(
            f"--folds {folds} runs all folds, but data.fold asks for number {plan.data.fold} alone",
            "leave out one of them; for a single fold, set data.folds and data.fold",
        )
    if repeat is not None or folds is not None or (plan.data.folds is not None and plan.data.fold is None):
        train_series(plan, repeat, out, output_format, quiet=quiet, log=log or ())
        return
    from surgeon.api import train
    from surgeon.runs.folder import check_is_free

    if out is not None:
        check_is_free(out)
    with ProgressDisplay(progress_console(output_format, quiet=quiet)) as display:
        done = train(plan, out, on_event=display.show, log=log or ())
    print_run(done, output_format, quiet=quiet)
