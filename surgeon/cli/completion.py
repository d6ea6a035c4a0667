"""What the shell offers for an argument when Tab is pressed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.exporters import EXPORTERS
from surgeon.share import share_path

_RECIPES = (".yaml", ".yml")


def complete_run(incomplete: str) -> list[str]:
    """Offers the runs in the folder that is being typed, and those in ``runs/``, where they are by default."""
    from surgeon.runs.folder import holds_run

    return _begun(incomplete, (str(entry) for entry in _near(incomplete, "runs") if holds_run(entry)))


def complete_recipe(incomplete: str) -> list[str]:
    """Offers the recipes in the folder that is being typed, and those in ``recipes/``."""
    return _begun(incomplete, (str(entry) for entry in _near(incomplete, "recipes") if entry.suffix in _RECIPES))


def complete_network(incomplete: str) -> list[str]:
    """Offers backbones, and recipes."""
    return _begun(incomplete, BACKBONES) + complete_recipe(incomplete)


def complete_format(incomplete: str) -> list[str]:
    """Offers the formats that networks are exported to."""
    return _begun(incomplete, EXPORTERS)


def complete_shipped_recipe(incomplete: str) -> list[str]:
    """Offers the recipes that come with the package."""
    return _begun(incomplete, (path.stem for path in share_path("recipes").glob("*.yaml")))


def _near(incomplete: str, home: str) -> set[Path]:
    folders = {Path(f"{incomplete}-").parent, Path(home)}  # the folder itself, where what was typed ends with a slash
    return {entry for folder in folders if folder.is_dir() for entry in folder.iterdir()}


def _begun(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
