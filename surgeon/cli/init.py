"""``surgeon init``: a recipe fit for a folder of images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from surgeon.catalogue.sources.listing import left_out_lines
from surgeon.cli.output import print_text
from surgeon.errors import UsageError


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of images.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="The recipe's file; by default FOLDER's name with .yaml, here.", show_default=False),
    ] = None,
) -> None:
    """Look at a folder of images and write a commented recipe fit for it."""
    from surgeon.data.draft import draft_recipe
    from surgeon.data.survey import survey_folder

    target = out or Path(f"{folder.resolve().name}.yaml")
    if target.exists():
        raise UsageError(f"{target} exists", "give another --out")
    survey = survey_folder(folder)
    target.write_text(draft_recipe(survey, target), encoding="utf-8")
    found = f"{survey.images} images of {len(survey.classes)} classes"
    print_text(f"{target}: {found}; next: surgeon run {shlex.quote(str(target))}")
    print_text(*left_out_lines(survey.left_out))
