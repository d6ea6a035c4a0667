"""``surgeon evaluate``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.output import (
    Format,
    FormatOption,
    NetworkOfRunArgument,
    TrustOption,
    print_json,
    print_text,
    show_progress,
)
from surgeon.report.terminal import Terminal


def command(
    run: NetworkOfRunArgument,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|FILE",
            help="Other images: class folders, a CSV file, a ZIP archive or a Parquet file.",
            show_default=False,
        ),
    ],
    image_column: Annotated[
        str | None,
        typer.Option(help="For a table: the column of images; by default as in the recipe.", show_default=False),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(help="For a table: the column of classes; by default as in the recipe.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write evaluation.json, predictions.csv and confusion.png into this new folder.", show_default=False
        ),
    ] = None,
    output_format: FormatOption = Format.text,
    trust: TrustOption = False,
) -> None:
    """Evaluate a run on other images; classes are matched by name."""
    from surgeon.recipe.bundle import read_bundle

    read_bundle(run)  # said before the images are read
    columns = {"image_column": image_column, "label_column": label_column}
    from surgeon.inference.evaluate import evaluate_images, list_other

    listing = list_other(run, data, {key: name for key, name in columns.items() if name is not None})

    console = Terminal(stderr=True, quiet=output_format is Format.json)
    found = show_progress(evaluate_images(run, listing, out, trust=trust), console)
    if output_format is Format.json:
        print_json(dataclasses.asdict(found))
        return
    from surgeon.report.results import classification_table
    from surgeon.report.use import other_data_lines

    if found.evaluation is not None:
        print_text(classification_table(found.evaluation, f"{run} on {data}: {found.images:,} images"))
    print_text(*other_data_lines(found))
