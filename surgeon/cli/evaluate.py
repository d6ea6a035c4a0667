"""``surgeon evaluate``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgeon.catalogue.sources import SOURCES
from surgeon.cli.output import Format, FormatOption, RunArgument, TrustOption, print_json, print_text, show_progress
from surgeon.errors import UsageError
from surgeon.recipe.complete import complete
from surgeon.recipe.document import read_document
from surgeon.records import damage_told
from surgeon.report.terminal import Terminal
from surgeon.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from surgeon.catalogue.sources.listing import Listing

_TABLE_SUFFIXES = {"", ".csv", ".tsv", ".txt"}


def command(
    run: RunArgument,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|CSV", help="Other images: a folder of class folders, or a CSV file.", show_default=False
        ),
    ],
    image_column: Annotated[
        str | None,
        typer.Option(help="Of a CSV: the column of image paths; by default the recipe's.", show_default=False),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(help="Of a CSV: the column of class names; by default the recipe's.", show_default=False),
    ] = None,
    output_format: FormatOption = Format.text,
    trust: TrustOption = False,
) -> None:
    """Measure a run on other images; classes are matched by their names."""
    from surgeon.runs.bundle import read_bundle

    read_bundle(run)  # said before the images are read
    columns = {"image_column": image_column, "label_column": label_column}
    listing = _list(run, data, {key: name for key, name in columns.items() if name is not None})
    load_tensorflow()
    from surgeon.inference.evaluate import evaluate_images

    console = Terminal(stderr=True, quiet=output_format is Format.json)
    found = show_progress(evaluate_images(run, listing, trust=trust), console)
    if output_format is Format.json:
        print_json(dataclasses.asdict(found))
        return
    from surgeon.report.tables import classification_table, other_data_lines

    print_text(classification_table(found.evaluation, f"{run} on {data}: {found.images:,} images"))
    print_text(*other_data_lines(found))


def _list(run: Path, data: Path, columns: Mapping[str, str]) -> Listing:
    """Lists the images of a folder or of a CSV file, which is read as the recipe says if it has such a source."""
    from surgeon.runs.folder import recipe_of

    is_table = not data.is_dir() and data.suffix.lower() in _TABLE_SUFFIXES
    if columns and not is_table:
        raise UsageError(f"{data} is not a CSV file and has no columns", "leave out --image-column and --label-column")
    kind = "csv" if is_table else "folder"
    recipe = recipe_of(run)
    with damage_told(recipe, "bring it back from a copy"):
        ((name, parameters),) = complete(read_document(recipe), ())["data"]["source"].items()
    own = parameters if name == kind else {}
    defaults = {key: schema["default"] for key, schema in SOURCES[kind].parameters.items() if "default" in schema}
    own = {key: value for key, value in own.items() if key != "split_column"}  # of other images all are measured
    return SOURCES[kind].read({**defaults, **own, **columns, "path": str(data.absolute())}, ())
