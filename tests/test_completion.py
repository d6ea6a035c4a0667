"""What the shell offers when Tab is pressed, asked for as bash does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_tiny


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("layers vgg", {"vgg16", "vgg19"}),
        ("layers recipes/", {"recipes/tiny.yaml"}),
        ("run ", {"recipes/tiny.yaml", "other.yaml"}),
        ("validate oth", {"other.yaml"}),
        ("predict ", {"runs/first", "runs/second", "kept"}),
        ("compare runs/", {"runs/first", "runs/second"}),
        ("export kept --to on", {"onnx"}),
        ("optimizers adam", {"adam", "adamw", "adamax"}),
        ("recipes copy vgg16_flo", {"vgg16_flowers17"}),
    ],
)
def test_tab_offers_what_there_is(tmp_path: Path, photos: Path, typed: str, offered: set[str]) -> None:
    for folder in ("recipes", "runs/first", "runs/second", "runs/empty", "kept"):
        (tmp_path / folder).mkdir(parents=True)
    for recipe in ("recipes/tiny.yaml", "other.yaml", "runs/first/recipe.yaml", "runs/second/recipe.yaml"):
        write_tiny(tmp_path / recipe, photos)
    write_tiny(tmp_path / "kept/recipe.yaml", photos)
    words = f"surgeon {typed}"
    asked = {"_SURGEON_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'surgeon'; from surgeon.cli import main; main()"],
        cwd=tmp_path,
        env={**os.environ, **asked, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert set(done.stdout.split()) == offered, done.stderr
