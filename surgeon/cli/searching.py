"""What the commands that search share: where their picture and their recipe go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from surgeon.errors import UsageError

ChartOption = Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the measurements.", show_default=False)]
WriteOption = Annotated[
    Path | None,
    typer.Option(metavar="RECIPE", help="Write a recipe with the suggestion, without --set.", show_default=False),
]


def check_outputs(recipe: Path | None, chart: Path | None, overrides: Sequence[str]) -> None:
    """Says before the long work what cannot be written after it.

    Args:
        recipe: Where a recipe is to go that extends the one that was given.
        chart: Where a picture is to go.
        overrides: ``--set`` assignments.

    Raises:
        UsageError: If the folder of one of them is missing, the recipe is there already, or the chart is no PNG file.
    """
    if recipe is not None and overrides:
        raise UsageError("--write and --set cannot be combined", "put the values into the recipe's file first")
    if recipe is not None and os.path.lexists(recipe):
        raise UsageError(f"{recipe} already exists", "give another file with --write")
    if chart is not None and chart.is_dir():
        raise UsageError(f"{chart} is a folder", "give --chart a file, such as chart.png")
    if chart is not None and chart.suffix.lower() != ".png":
        raise UsageError(f"cannot draw a chart into {chart}", "give --chart a file that ends in .png")
    for path in filter(None, (recipe, chart)):
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", "create it, or give another path")
