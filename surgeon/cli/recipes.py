"""``surgeon recipes``: the recipes that come with the package."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
import yaml

from surgeon.cli.completion import complete_shipped_recipe
from surgeon.cli.output import Format, FormatOption, print_file, print_json, print_text
from surgeon.errors import UsageError, did_you_mean
from surgeon.report.terminal import table
from surgeon.share import schema_address, share_path

app = typer.Typer(help="The recipes that come with the package.", no_args_is_help=True)

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="As `recipes list` shows it.", autocompletion=complete_shipped_recipe, show_default=False
    ),
]


@app.command("list")
def list_recipes(output_format: FormatOption = Format.text) -> None:
    """List the recipes and what they are for."""
    recipes = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in _paths().items()}
    described = {name: str(recipe.get("description", "")) for name, recipe in recipes.items()}
    if output_format is Format.json:
        print_json(described)
        return
    rendered = table(None, "recipe", "")
    for name, description in described.items():
        rendered.add_row(name, description)
    print_text(rendered, "`surgeon recipes copy NAME` puts one here.")


@app.command()
def show(name: NameArgument) -> None:
    """Print a recipe."""
    print_file(_find(name).read_text(encoding="utf-8"))


@app.command()
def copy(
    name: NameArgument,
    to: Annotated[
        Path | None, typer.Argument(metavar="[TO]", help="A file or folder; by default here.", show_default=False)
    ] = None,
) -> None:
    """Copy a recipe to edit it; its first lines name the schema and the file as they are here."""
    source = _find(name)
    target = to or Path()
    target = target / source.name if target.is_dir() else target
    if target.exists():
        raise UsageError(f"{target} exists", "give another name")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", "create it first")
    text = source.read_text(encoding="utf-8")
    text = text.replace("../schemas/recipe.schema.json", schema_address(), 1)
    text = text.replace(f"surgeon run recipes/{source.name}", f"surgeon run {shlex.quote(str(target))}", 1)
    target.write_text(text, encoding="utf-8")
    print_text(str(target))


def _paths() -> dict[str, Path]:
    return {path.stem: path for path in sorted(share_path("recipes").glob("*.yaml"))}


def _find(name: str) -> Path:
    paths = _paths()
    name = name.removesuffix(".yaml")
    if name not in paths:
        raise UsageError(f"no recipe is called {name!r}", did_you_mean(name, paths) or "see `surgeon recipes list`")
    return paths[name]
