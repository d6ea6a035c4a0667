"""``surgeon report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.output import RunArgument, print_text, show_progress
from surgeon.recipe.compiler import compile_recipe
from surgeon.report.terminal import Terminal, styled
from surgeon.tensorflow import load_tensorflow


def command(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="The page; by default RUN/report.html.", show_default=False)] = None,
) -> None:
    """Write a finished run as one page that needs nothing else to be looked at."""
    from surgeon.export.page import write_report
    from surgeon.training.run_folder import REPORT, read_result, recipe_of

    plan = compile_recipe(recipe_of(run))
    result = read_result(run)
    load_tensorflow()
    path = out or run / REPORT
    show_progress(write_report(plan, run, result, path), Terminal(stderr=True))
    print_text(styled("the report is ", (str(path), "bold")))
