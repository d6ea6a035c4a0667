"""``surgeon resume``."""

from __future__ import annotations

from surgeon.cli.output import Format, FormatOption, QuietOption, RunArgument, print_text
from surgeon.cli.running import LogOption, print_run, progress_console
from surgeon.report.progress import ProgressDisplay


def command(
    run: RunArgument,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
    log: LogOption = None,
) -> None:
    """Resume a run that was stopped, after its last finished epoch."""
    from surgeon.api import train
    from surgeon.runs.folder import is_finished, recipe_of
    from surgeon.runs.plan_file import has_plan, read_plan

    recipe = recipe_of(run)
    if is_finished(run):
        print_text(f"{run} is finished; there is nothing to resume. `surgeon report {run}` writes its report again")
        return
    with ProgressDisplay(progress_console(output_format, quiet=quiet)) as display:
        done = train(read_plan(run) if has_plan(run) else recipe, run, on_event=display.show, log=log or ())
    print_run(done, output_format, quiet=quiet)
