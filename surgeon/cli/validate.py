"""``surgeon validate``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.completion import complete_recipe
from surgeon.cli.output import Format, FormatOption, SetOption, print_json, print_text
from surgeon.recipe.compiler import validate_recipe
from surgeon.report.terminal import styled


def command(
    recipes: Annotated[
        list[Path],
        typer.Argument(metavar="RECIPE...", help="Files to check.", autocompletion=complete_recipe, show_default=False),
    ],
    overrides: SetOption = None,
    output_format: FormatOption = Format.text,
) -> None:
    """Check recipes and list every problem of every file."""
    found = {recipe: validate_recipe(recipe, overrides or ()) for recipe in recipes}
    if output_format is Format.json:
        print_json([dataclasses.asdict(problem) for problems in found.values() for problem in problems])
    else:
        for recipe, problems in found.items():
            print_text(*map(str, problems))
            if not problems:
                print_text(styled(f"{recipe}: ", ("OK", "green")))
    if any(found.values()):
        raise typer.Exit(2)
