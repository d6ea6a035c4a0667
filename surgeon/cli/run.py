"""``surgeon run``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from surgeon.cli.output import (
    Format,
    FormatOption,
    RecipeArgument,
    SetOption,
    open_console,
    print_json,
    print_text,
    show_progress,
)
from surgeon.cli.tensorflow import load_tensorflow
from surgeon.errors import SurgeonError
from surgeon.recipe.compiler import compile_recipe

if TYPE_CHECKING:
    from rich.console import Console

    from surgeon.recipe.plan import Plan
    from surgeon.results import FrozenResult, RunResult


def command(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the run; by default runs/NAME-TIME.", show_default=False)
    ] = None,
    output_format: FormatOption = Format.text,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no table.")] = False,
) -> None:
    """Train what a recipe asks for, phase by phase, and measure it."""
    plan = compile_recipe(recipe, overrides or ())
    result, folder = run_plan(plan, out, open_console(stderr=True, quiet=quiet or output_format is Format.json))
    if output_format is Format.json:
        from surgeon.results import result_record

        print_json({**result_record(result), "folder": str(folder)})
    elif not quiet:
        print_result(result, folder)


def run_plan(plan: Plan, out: Path | None, console: Console) -> tuple[RunResult, Path]:
    """Runs a plan with its progress on ``console``; returns the result and the folder that holds it.

    Raises:
        SurgeonError: If the run cannot be done or was interrupted; what it had written stays.
    """
    from surgeon.report.figures import draw_confusion, draw_curves
    from surgeon.training.run_folder import create_run_folder, record_event, write_result
    from surgeon.training.runner import run

    folder = create_run_folder(plan, out)
    try:
        load_tensorflow()
        result = show_progress(run(plan, folder), console, partial(record_event, folder))
        draw_curves(result, folder / "curves.png")
        if result.evaluation is not None:
            draw_confusion(result.evaluation, folder / "confusion.png")
        write_result(folder, result)
    except KeyboardInterrupt as error:
        raise SurgeonError("interrupted", _what_was_saved(folder)) from error
    except OSError as error:
        where = error.filename or folder
        raise SurgeonError(f"cannot use {where}: {error.strerror or error}", _what_was_saved(folder)) from error
    return result, folder


def print_result(result: RunResult, folder: Path) -> None:
    """Prints the table of the story, the methods side by side, and where everything lies."""
    from surgeon.report.tables import classification_table, methods_table

    if result.evaluation is not None:
        total = sum(result.evaluation.report[name]["support"] for name in result.evaluation.classes)
        print_text(classification_table(result.evaluation, f"{result.name}: {total:.0f} test images"))
        print_text(methods_table(result))
    print_text(_saved(result.frozen))
    print_text(f"{result.seconds:.0f} s; everything is in [bold]{escape(str(folder))}[/]")


def _saved(frozen: FrozenResult) -> str:
    """Returns what the store was good for."""
    done = f"frozen layers: {frozen.known:,} images known, {frozen.computed:,} computed in {frozen.seconds:.0f} s"
    if not frozen.saved_seconds:
        return done
    saved = f"{frozen.saved_seconds / 60:,.0f} min" if frozen.saved_seconds >= 60 else f"{frozen.saved_seconds:.0f} s"
    return f"{done}; without the store the run would have taken about {saved} more"


def _what_was_saved(folder: Path) -> str:
    if (folder / "model.keras").exists():
        return (
            f"{folder}/model.keras holds the network after its last finished phase and history.csv every epoch; "
            "operate on it with `backbone: {model: ...}`, or start the recipe again"
        )
    history = folder / "history.csv"
    epochs = f"{history} holds the epochs so far" if history.exists() else "no epoch was finished either"
    return f"no phase was finished; {epochs}; start the recipe again with another --out"
