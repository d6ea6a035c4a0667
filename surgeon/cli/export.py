"""``surgeon export``."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import Annotated

import typer

from surgeon.catalogue.exporters import EXPORTERS
from surgeon.cli.output import Format, FormatOption, RunArgument, print_json, print_text, show_progress
from surgeon.report.terminal import Terminal, styled

ExportFormat = enum.Enum("ExportFormat", {name: name for name in EXPORTERS}, type=str)  # type: ignore[misc]
Quantization = enum.Enum(  # type: ignore[misc]
    "Quantization", {name: name for spec in EXPORTERS.values() for name in spec.quantizations}, type=str
)


def command(
    run: RunArgument,
    to: Annotated[ExportFormat, typer.Option("--to", help="The format.", show_default=False)],
    quantize: Annotated[
        Quantization | None, typer.Option(help="Narrow its numbers; `litert` only.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The new folder; by default RUN/export/FORMAT.", show_default=False)
    ] = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Write the network of a run in another format, and compare it with the run before that counts."""
    from surgeon.runs.plan_file import read_plan

    plan = read_plan(run)
    narrowed = None if quantize is None else quantize.value
    from surgeon.export.export import default_folder, export  # seconds, after what is quickly said

    spec = EXPORTERS[to.value]
    folder = out or default_folder(run, spec.name, narrowed)
    console = Terminal(stderr=True, quiet=output_format is Format.json)
    result = show_progress(export(plan, run, spec, narrowed, folder), console)
    if output_format is Format.json:
        print_json({**dataclasses.asdict(result), "folder": str(folder)})
    else:
        from surgeon.report.use import export_table

        print_text(export_table(result), styled("it is in ", (str(folder), "bold")))
