"""Where the files that travel with the package lie: recipes, schemas, layer tables."""

from __future__ import annotations

from pathlib import Path


def share_path(name: str) -> Path:
    """Returns the folder ``recipes`` or ``schemas``: inside an installed package, else in the checkout."""
    package = Path(__file__).parent
    installed = package / "share" / name
    return installed if installed.is_dir() else package.parent / name


def schema_address() -> str:
    """Returns where an editor on this machine finds the schema of recipes."""
    return (share_path("schemas") / "recipe.schema.json").absolute().as_uri()
