"""A minute of coverage-guided fuzzing a reader; what it found once lies among the other cases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from odd_images import odd_images

TESTS = Path(__file__).parent


def seeds(reader: str, folder: Path) -> None:
    """Gives the fuzzer something to start from: every recipe of the tests, or every small odd image."""
    folder.mkdir()
    if reader == "image":
        for number, odd in enumerate(odd_images()):
            if len(odd.data) < 10_000:
                (folder / str(number)).write_bytes(odd.data)
        return
    for recipe in [*TESTS.glob("recipes/*/*.yaml"), *TESTS.parent.glob("recipes/*.yaml")]:
        (folder / recipe.name).write_bytes(recipe.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["text", "recipe", "image"])
def test_no_input_breaks_a_reader(reader: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this system")
    seeds(reader, tmp_path / "seeds")
    # libFuzzer's own limit counts the most that the process which started it ever held, so the shell sets one.
    limits = ["-max_total_time=12", "-timeout=20", "-rss_limit_mb=0", "-verbosity=0", "-print_final_stats=1"]
    fuzzer = [sys.executable, TESTS / "fuzz.py", reader, tmp_path / "seeds", *limits]
    command = ["sh", "-c", 'ulimit -v 8000000; exec "$@"', "sh", *fuzzer]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units" in done.stderr
