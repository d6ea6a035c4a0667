"""``python -m surgeon.generate [PART...]``: writes the generated files of a checkout whose paths contain a part."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.kinds import KINDS
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
        **{f"schemas/layers/{spec.name}.json": partial(layer_table_text, spec) for spec in BACKBONES.own.values()},
    }


def schema_text() -> str:
    """Returns the recipes' schema for editors."""
    return json.dumps(_own(recipe_schema()), indent=1, ensure_ascii=False) + "\n"


def _own(schema: Any) -> Any:
    """Returns a part of a schema without the entries that other packages add where this one is made."""
    if isinstance(schema, list):
        return [_own(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    added = {name for name, entry in KINDS.get(str(schema.get("title")), {}).items() if entry.package}
    own = {key: _own(value) for key, value in schema.items()}
    if added and "properties" in own:
        own["properties"] = {name: value for name, value in own["properties"].items() if name not in added}
    if added and "enum" in own:
        own["enum"] = [name for name in own["enum"] if name not in added]
    return own


def main(*parts: str) -> None:
    """Writes those whose path contains one of ``parts``, all if there are none, relative to the current folder."""
    files = generated_files()
    if unknown := [part for part in parts if not any(part in path for path in files)]:
        sys.exit(f"no generated file is called {unknown[0]}; there are {', '.join(files)}")
    for path, text in files.items():
        if not parts or any(part in path for part in parts):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text(), encoding="utf-8")
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
