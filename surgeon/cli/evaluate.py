"""``surgeon evaluate``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from surgeon.catalogue.sources import SOURCES
from surgeon.cli.output import Format, FormatOption, RunArgument, print_json, print_text, show_progress
from surgeon.recipe.compiler import compile_recipe
from surgeon.report.terminal import Terminal
from surgeon.tensorflow import load_tensorflow


def command(
    run: RunArgument,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|CSV", help="Other images: a folder of class folders, or a CSV file.", show_default=False
        ),
    ],
    output_format: FormatOption = Format.text,
) -> None:
    """Measure a run on other images; classes are matched by their names."""
    from surgeon.model.bundle import read_bundle
    from surgeon.training.run_folder import recipe_of

    read_bundle(run)  # said before the images are read
    kind = "folder" if data.is_dir() else "csv"
    source = f"data.source={{{kind}: {{path: {json.dumps(str(data.absolute()))}}}}}"
    chosen = compile_recipe(recipe_of(run), [source]).data.source
    listing = SOURCES[chosen.name].read(chosen.parameters, ())
    load_tensorflow()
    from surgeon.export.evaluate import evaluate_images

    console = Terminal(stderr=True, quiet=output_format is Format.json)
    found = show_progress(evaluate_images(run, listing), console)
    if output_format is Format.json:
        print_json(dataclasses.asdict(found))
        return
    from surgeon.report.tables import classification_table, other_data_lines

    print_text(classification_table(found.evaluation, f"{run} on {data}: {found.images:,} images"))
    print_text(*other_data_lines(found))
