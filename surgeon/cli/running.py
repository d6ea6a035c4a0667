"""What the commands that train share: their options, the progress on the terminal, and how a result is printed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgeon.cli.output import Format, print_json, print_text
from surgeon.report.terminal import Terminal, styled
from surgeon.results.subscribers import Tracker

if TYPE_CHECKING:
    from surgeon.results.run import RunResult
    from surgeon.run import Run

LogOption = Annotated[
    list[Tracker] | None,
    typer.Option(
        "--log",
        help="Also log to TensorBoard (in the run) or MLflow (where its environment variables say). Repeatable.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder for the run; by default runs/NAME-TIME.", show_default=False)
]


def progress_console(output_format: Format, *, quiet: bool) -> Terminal:
    """Returns where progress is shown: nowhere for programs and the quiet."""
    return Terminal(stderr=True, quiet=quiet or output_format is Format.json)


def print_run(run: Run, output_format: Format, *, quiet: bool) -> None:
    """Prints what a finished run came to."""
    if output_format is Format.json:
        from surgeon.results.run import result_record

        print_json({**result_record(run.result), "folder": str(run.folder)})
    elif not quiet:
        _print_result(run.result, run.folder)


def _print_result(result: RunResult, folder: Path) -> None:
    """Prints the table of the classes, the methods side by side, and where everything lies."""
    from surgeon.report.results import (
        acceptance_lines,
        averages_text,
        classification_table,
        expectation_text,
        frozen_text,
        methods_table,
    )
    from surgeon.report.verdict import verdict
    from surgeon.runs.folder import REPORT

    if result.evaluation is not None:
        total = result.evaluation.weighted.support
        print_text(classification_table(result.evaluation, f"{result.name}: {total} test images"))
        if (over := averages_text(result.evaluation)) is not None:
            print_text(over)
        print_text(methods_table(result))
    if (text := expectation_text(result)) is not None:
        print_text(text)
    if result.acceptance is not None:
        print_text(*acceptance_lines(result.acceptance))
    print_text(*verdict(result))
    print_text(frozen_text(result.frozen))
    print_text(styled(f"{result.seconds:.0f} s; all files are in ", (str(folder), "bold")))
    page = folder / REPORT
    if page.exists():
        print_text(f"report: {page}; to classify images: surgeon predict {shlex.quote(str(folder))} PATH...")
