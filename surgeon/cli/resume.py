"""``surgeon resume``."""

from __future__ import annotations

from surgeon.cli.output import Format, FormatOption, QuietOption, RunArgument, print_text
from surgeon.cli.running import LogOption, run_and_print
from surgeon.recipe.compiler import compile_recipe


def command(
    run: RunArgument,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
    log: LogOption = None,
) -> None:
    """Go on with a run that was stopped, behind its last finished epoch."""
    from surgeon.runs.folder import is_finished, recipe_of

    recipe = recipe_of(run)
    if is_finished(run):
        print_text(f"{run} is finished; there is nothing to go on with. `surgeon report {run}` draws it again")
        return
    run_and_print(compile_recipe(recipe), run, output_format, quiet=quiet, log=log or ())
