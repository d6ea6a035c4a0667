"""``surgeon sweep``: many recipes at the price of little more than one run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.completion import complete_recipe
from surgeon.cli.output import Format, FormatOption, QuietOption, SetOption, print_json, print_text
from surgeon.cli.running import progress_console
from surgeon.cli.searching import ChartOption, check_outputs
from surgeon.errors import UsageError
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.document import read_document
from surgeon.recipe.sweep import open_sweep
from surgeon.report.progress import ProgressDisplay


def command(
    recipe: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe's file; with --resume also the folder of a sweep.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ],
    overrides: SetOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the sweep, new or of the same recipe, which is resumed; by default sweeps/NAME-TIME.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the sweep in --out, or the latest sweep of this recipe.")
    ] = False,
    final: Annotated[int, typer.Option(min=0, help="Train the best recipe with this many seeds and test it.")] = 0,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Optuna's database; by default an SQLite file.", show_default=False),
    ] = None,
    chart: ChartOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Try many recipes: what `sweep` in the recipe varies, trained on shared features of the frozen layers.

    Test images are used only with --final.
    """
    from surgeon.report.sweep import best_text, draw_sweep, failures_text, trials_table
    from surgeon.runs.sweep_folder import new_sweep_folder
    from surgeon.searches import sweep_opened

    check_outputs(None, chart, ())
    if resume:
        out, recipe = _taken_up(recipe, out, overrides or ())
    elif recipe.is_dir():
        raise UsageError(f"{recipe} is a folder", "add --resume to go on with the sweep in it, or give a recipe's file")
    opened = open_sweep(read_document(recipe, overrides or ()))
    folder = out or new_sweep_folder(opened.plan.name)
    with ProgressDisplay(progress_console(output_format, quiet=quiet)) as display:
        found = sweep_opened(opened, folder, final, storage, display.show)
    if output_format is Format.json:
        print_json(dataclasses.asdict(found))
    else:
        print_text(trials_table(found), *failures_text(found), *best_text(found, folder))
    if chart is not None:
        draw_sweep(found, chart)


def _taken_up(recipe: Path, out: Path | None, overrides: list[str] | tuple[()]) -> tuple[Path, Path]:
    """Returns the folder of the sweep that goes on, and its recipe.

    Raises:
        UsageError: If there is none.
    """
    from surgeon.runs.sweep_folder import latest_sweep, sweep_recipe

    if overrides:
        raise UsageError("a resumed sweep keeps its recipe", "leave out --set, or start a new sweep")
    folder = recipe if recipe.is_dir() else out
    if folder is None:
        folder = latest_sweep(compile_recipe(recipe).name)
    if folder is None:
        raise UsageError(f"there is no sweep of {recipe} in sweeps/", "give its folder (--out), or leave --resume out")
    kept = sweep_recipe(folder)
    return folder, kept if recipe.is_dir() else recipe
