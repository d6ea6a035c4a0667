"""Generated files are those that the catalogue makes now."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import slow_but

from surgeon.catalogue.backbones import BACKBONES
from surgeon.generate.__main__ import generated_files

ROOT = Path(__file__).parent.parent
# Each table is held against its network in test_backbones, at another size; here one of each form is made anew.
TABLES = ("vgg16", "mobilenetv2", "nasnetmobile")
MADE = {path: text for path, text in generated_files().items() if "layers/" not in path or Path(path).stem in TABLES}


@pytest.mark.parametrize("path", slow_but([path for path in MADE if "layers/" not in path], MADE))
def test_file_is_fresh(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == MADE[path](), "run `make generate`"


def test_every_backbone_has_a_table_and_every_table_a_backbone() -> None:
    assert {path.stem for path in (ROOT / "schemas" / "layers").glob("*.json")} == set(BACKBONES)


def test_every_command_is_in_the_reference() -> None:
    import typer.main

    from surgeon.cli import app

    reference = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"## `surgeon {name}" in reference
