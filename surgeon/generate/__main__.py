"""``python -m surgeon.generate``: writes every generated file of a checkout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from surgeon.catalogue.backbones import BACKBONES
from surgeon.generate.cli_reference import cli_reference
from surgeon.generate.layer_tables import layer_table_text
from surgeon.generate.recipe_reference import recipe_reference
from surgeon.recipe.schema import recipe_schema


def generated_files() -> Mapping[str, Callable[[], str]]:
    """Returns how to make each generated file, by its path in the checkout."""
    return {
        "schemas/recipe.schema.json": schema_text,
        "docs/recipe.md": recipe_reference,
        "docs/cli.md": cli_reference,
        **{f"schemas/layers/{spec.name}.json": partial(layer_table_text, spec) for spec in BACKBONES.values()},
    }


def schema_text() -> str:
    """Returns the recipes' schema for editors."""
    return json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes all of them, relative to the current folder."""
    for path, text in generated_files().items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
