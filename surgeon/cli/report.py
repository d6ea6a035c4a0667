"""``surgeon report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.completion import complete_run
from surgeon.cli.output import print_text, show_progress
from surgeon.report.terminal import Terminal, styled


def command(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="The folder of a run or of a sweep.", autocompletion=complete_run, show_default=False
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The page; by default RUN/report.html.", show_default=False)] = None,
) -> None:
    """Write the report of a finished run or of a sweep as one self-contained page, and a run's pictures."""
    from surgeon.publishing.page import publish, write_report
    from surgeon.publishing.sweep import write_sweep_page
    from surgeon.runs.folder import REPORT
    from surgeon.runs.plan_file import read_run
    from surgeon.runs.sweep_folder import PAGE, holds_sweep

    console = Terminal(stderr=True)
    if holds_sweep(run):
        write_sweep_page(run, out or run / PAGE)
        print_text(styled("report written to ", (str(out or run / PAGE), "bold")))
        return
    plan, result = read_run(run)
    if out is not None:
        show_progress(write_report(plan, run, result, out), console)
    elif not show_progress(publish(plan, run, result), console):
        raise typer.Exit(1)
    print_text(styled("report written to ", (str(out or run / REPORT), "bold")))
