"""``surgeon export``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from surgeon.catalogue.entry import find
from surgeon.catalogue.exporters import EXPORTERS
from surgeon.cli.completion import complete_format
from surgeon.cli.output import Format, FormatOption, NetworkOfRunArgument, print_json, print_text, show_progress
from surgeon.report.terminal import Terminal, styled


def command(
    run: NetworkOfRunArgument,
    to: Annotated[
        str,
        typer.Option(
            help="The format, as `surgeon exporters` lists them.", autocompletion=complete_format, show_default=False
        ),
    ],
    quantize: Annotated[
        str | None,
        typer.Option(help="Quantize to `float16` or `int8`; `litert` only.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new folder; by default RUN/export/FORMAT.", show_default=False)
    ] = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Export the network of a run to another format, after comparing it with the run."""
    from surgeon.runs.plan_file import read_plan

    spec = find("format", EXPORTERS, to)
    plan = read_plan(run)
    from surgeon.export.export import default_folder, export  # seconds, after what is quickly said

    folder = out or default_folder(run, spec.name, quantize)
    console = Terminal(stderr=True, quiet=output_format is Format.json)
    result = show_progress(export(plan, run, spec, quantize, folder), console)
    if output_format is Format.json:
        print_json({**dataclasses.asdict(result), "folder": str(folder)})
    else:
        from surgeon.report.use import export_table

        print_text(export_table(result), styled("the export is in ", (str(folder), "bold")))
