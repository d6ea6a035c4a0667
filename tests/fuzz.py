"""Feeds a reader whatever a coverage-guided fuzzer (atheris, which is libFuzzer) thinks of.

    python tests/fuzz.py text|recipe|image FOLDER_OF_SEEDS -max_total_time=60

It stops with another exit code than 0, and leaves the input in the current folder, if a reader raises anything but
its own error or takes longer than libFuzzer's ``-timeout``.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["surgeon", "yaml", "PIL"]):
    from surgeon.data.images import load_image
    from surgeon.errors import BadImageError, RecipeError
    from surgeon.recipe.compiler import validate_recipe
    from surgeon.recipe.text import parse_text
    from surgeon.resizing import Resizing

RECIPE = Path(tempfile.mkdtemp()) / "fuzz.yaml"


def read_text(content: bytes) -> None:
    with suppress(RecipeError):
        parse_text(content, "fuzz.yaml")


def read_recipe(content: bytes) -> None:
    RECIPE.write_bytes(content)
    for problem in validate_recipe(RECIPE):
        assert str(problem).isprintable()


def read_image(content: bytes) -> None:
    with suppress(BadImageError):
        assert load_image(content, Resizing((16, 16))).shape == (16, 16, 3)


if __name__ == "__main__":
    reader = {"text": read_text, "recipe": read_recipe, "image": read_image}[sys.argv.pop(1)]
    atheris.Setup(sys.argv, reader)
    atheris.Fuzz()
