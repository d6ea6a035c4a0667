"""``surgeon compare``."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.completion import complete_run
from surgeon.cli.output import Format, FormatOption, print_json, print_text, show_progress
from surgeon.errors import UsageError
from surgeon.report.terminal import Terminal, styled


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Finished runs.", autocompletion=complete_run, show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Also write an HTML page, such as compare.html.")
    ] = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Show runs side by side, and test whether each differs significantly from the first on the same test images."""
    if len(runs) < 2:
        raise UsageError("expected two runs or more, found one", "name all runs that are to be compared")
    from surgeon.publishing.comparison import read_runs, write_comparison

    compared = read_runs(runs)
    if out is not None:
        console = Terminal(stderr=True, quiet=output_format is Format.json)
        show_progress(write_comparison(compared, out), console)
    if output_format is Format.json:
        print_json(
            [
                {
                    "run": str(run.folder),
                    "figures": run.figures,
                    "against_the_first": run.test and dataclasses.asdict(run.test),
                    "other_test_images": run.has_other_images,
                }
                for run in compared
            ]
        )
        return
    from surgeon.report.results import comparison_table, other_images_text

    names, figures, tests = _names(runs), [run.figures for run in compared], [run.test for run in compared]
    print_text(comparison_table(names, figures, tests))
    if warning := other_images_text(names, [run.has_other_images for run in compared]):
        print_text(warning)
    if out is not None:
        print_text(styled("page written to ", (str(out), "bold")))


def _names(runs: Sequence[Path]) -> list[str]:
    """Returns the paths of runs without the folder that all are in, so that the columns of a table are narrow."""
    paths = [run.absolute() for run in runs]
    if len({path.anchor for path in paths}) > 1:  # drives of Windows
        return [str(run) for run in runs]
    common = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(common)) for path in paths]
