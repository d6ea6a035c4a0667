"""``surgeon report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.output import RunArgument, print_text, show_progress
from surgeon.report.terminal import Terminal, styled


def command(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="The page; by default RUN/report.html.", show_default=False)] = None,
) -> None:
    """Write a finished run as one page that needs nothing else to be looked at, and its pictures again."""
    from surgeon.publishing.page import publish, write_report
    from surgeon.runs.folder import REPORT
    from surgeon.runs.plan_file import read_run

    plan, result = read_run(run)
    console = Terminal(stderr=True)
    if out is not None:
        show_progress(write_report(plan, run, result, out), console)
    elif not show_progress(publish(plan, run, result), console):
        raise typer.Exit(1)
    print_text(styled("the report is ", (str(out or run / REPORT), "bold")))
