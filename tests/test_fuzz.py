"""A minute of coverage-guided fuzzing a reader; what it found once lies among the other cases."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TESTS = Path(__file__).parent
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")


def seeds(reader: str, folder: Path) -> None:
    """Gives the fuzzer something to start from: every recipe of the tests, or an image of each format."""
    folder.mkdir()
    if reader == "image":
        pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
        for form in FORMATS:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, form)
            (folder / form).write_bytes(buffer.getvalue())
        return
    for recipe in [*TESTS.glob("recipes/*/*.yaml"), *TESTS.parent.glob("recipes/*.yaml")]:
        (folder / recipe.name).write_bytes(recipe.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["text", "recipe", "image"])
def test_no_input_breaks_a_reader(reader: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this system")
    seeds(reader, tmp_path / "seeds")
    # libFuzzer's own limit counts the most that the process which started it ever held, so the shell sets one.
    limits = ["-max_total_time=60", "-timeout=20", "-rss_limit_mb=0", "-verbosity=0", "-print_final_stats=1"]
    fuzzer = [sys.executable, TESTS / "fuzz.py", reader, tmp_path / "seeds", *limits]
    command = ["sh", "-c", 'ulimit -v 8000000; exec "$@"', "sh", *fuzzer]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units" in done.stderr
