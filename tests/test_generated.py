"""Generated files are those that the catalogue makes now."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import slow_but

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.exporters import EXPORTERS
from surgeon.catalogue.sources import SOURCES
from surgeon.generate.__main__ import generated_files, main
from surgeon.recipe.keys import keys_of
from surgeon.recipe.schema import recipe_schema

ROOT = Path(__file__).parent.parent
# Each table is held against its network in test_backbones, at another size; here one of each depth is made anew.
TABLES = ("vgg16", "mobilenetv2")
MADE = {path: text for path, text in generated_files().items() if "layers/" not in path or Path(path).stem in TABLES}


@pytest.mark.parametrize("path", slow_but([path for path in MADE if "layers/" not in path], MADE))
def test_file_is_fresh(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == MADE[path](), "run `make generate`"


def test_generated_files_hold_no_entry_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for entries, name in ((BACKBONES, "vgg16"), (SOURCES, "digits"), (EXPORTERS, "keras")):
        added = dataclasses.replace(entries[name], name="from_elsewhere", package="garden")
        monkeypatch.setitem(entries.entries, added.name, added)
    with recipes_checked_anew():
        assert json.dumps(recipe_schema()).count("from_elsewhere") == 3  # a backbone, a source, and its bare name
        assert not {path for path in generated_files() if "from_elsewhere" in path}
        for path in ("schemas/recipe.schema.json", "docs/recipe.md", "docs/cli.md"):
            assert (ROOT / path).read_text(encoding="utf-8") == MADE[path]()


@contextmanager
def recipes_checked_anew() -> Iterator[None]:
    """Forgets what keys were declared with before, and after."""
    keys_of.cache_clear()
    recipe_schema.cache_clear()
    yield
    keys_of.cache_clear()
    recipe_schema.cache_clear()


def test_a_file_that_is_not_generated_is_said() -> None:
    with pytest.raises(SystemExit, match="no generated file is called nonsense"):
        main("nonsense")


def test_every_backbone_has_a_table_and_every_table_a_backbone() -> None:
    assert {path.stem for path in (ROOT / "schemas" / "layers").glob("*.json")} == set(BACKBONES.own)


def test_every_command_is_in_the_reference() -> None:
    import typer.main

    from surgeon.cli import app

    reference = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"## `surgeon {name}" in reference
