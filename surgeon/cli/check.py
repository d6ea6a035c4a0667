"""``surgeon check``: what is wrong with the images, said before the night."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgeon.cli.completion import complete_recipe
from surgeon.cli.output import Format, FormatOption, SetOption, print_json, print_text
from surgeon.errors import UsageError, require_modules
from surgeon.report.progress import ProgressDisplay
from surgeon.report.terminal import Terminal
from surgeon.text import counted

if TYPE_CHECKING:
    from PIL.Image import Image

    from surgeon.data.dataset import Index
    from surgeon.results.findings import Finding


class FailOn(enum.StrEnum):
    """From which severity on a finding makes the command fail."""

    error = "error"
    warning = "warning"
    never = "never"


def command(
    checked: Annotated[
        Path,
        typer.Argument(
            metavar="RECIPE|IMAGES",
            help="A recipe's file, or images in any form that `init` accepts.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ],
    overrides: SetOption = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Find labels that are probably wrong; needs `network-surgeon[labels]`.")
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a sheet with the images of the findings, `.png` or `.html`.", show_default=False
        ),
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="Exit with 1 if there is a finding of this severity or above.")
    ] = FailOn.error,
    output_format: FormatOption = Format.text,
) -> None:
    """Find problems with the images: damaged files, duplicates, leaks between splits, conflicting labels."""
    from surgeon.api import check, plan_to_check

    _check_options(labels, sheet)
    with ProgressDisplay(Terminal(stderr=True, quiet=output_format is Format.json)) as display:
        found = check(plan_to_check(checked, overrides or ()), labels=labels, on_event=display.show)
    index, findings = found.index, found.findings
    if output_format is Format.json:
        records = [dataclasses.asdict(finding) for finding in findings]
        print_json(
            {"images": index.counts(), "ignored": index.ignored, "left_out": index.left_out, "findings": records}
        )
    else:
        from surgeon.report.findings import findings_summary, findings_table

        if findings:
            print_text(findings_table(findings))
        print_text(findings_summary(findings, f"{counted(len(index.images), 'image')} of {len(index.classes)} classes"))
    if sheet is not None:
        _draw(sheet, index, findings, checked.name)
    failing = {FailOn.error: ("error",), FailOn.warning: ("error", "warning"), FailOn.never: ()}[fail_on]
    if any(finding.severity in failing for finding in findings):
        raise typer.Exit(1)


def _check_options(labels: bool, sheet: Path | None) -> None:
    """Says what cannot be done before the long work."""
    if labels:
        require_modules("--labels", ("cleanlab",), "labels")
    if sheet is not None and sheet.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"cannot write a sheet to {sheet}", "give --sheet a file that ends in .png or .html")
    if sheet is not None and sheet.exists():
        raise UsageError(f"{sheet} already exists", "give another file with --sheet")


def _draw(sheet: Path, index: Index, findings: Sequence[Finding], name: str) -> None:
    from surgeon.data.images import decode_image
    from surgeon.errors import BadImageError
    from surgeon.report.sheet import draw_sheet

    images = {image.name: image for image in index.images}  # a finding may also name a folder, or what was left out

    def picture(name: str) -> Image | None:
        try:
            return decode_image(images[name].read())
        except BadImageError:
            return None

    shown = [dataclasses.replace(one, files=tuple(file for file in one.files if file in images)) for one in findings]
    draw_sheet(shown, picture, name, sheet)
