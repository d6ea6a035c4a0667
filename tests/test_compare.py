"""Runs side by side, and a run as a card."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import look
from conftest import call, write_tiny

from surgeon.evaluation.compare import mcnemar
from surgeon.report.results import comparison_rows
from surgeon.runs.folder import read_predictions

Surgeon = Callable[..., Any]

# Chooses each group of images; tells how many it announces and how many are shown.
CHOOSE_PATTERNS = """
  const shown = () => document.querySelectorAll("#gallery figure:not([hidden])").length;
  const all = shown();
  const filtered = [...document.querySelectorAll("#patterns button")].map(button => {
    button.click();
    return [Number(button.querySelector("b").textContent), shown()];
  });
  return {shown: all, filtered};
"""


def test_mcnemar_is_the_binomial_test_of_what_one_alone_got_right() -> None:
    first = [True] * 9 + [False] + [True] * 50
    second = [False] * 9 + [True] + [True] * 50
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (9, 1)
    assert found.p_value == pytest.approx(2 * (10 + 1) / 2**10)
    assert mcnemar(first, first).p_value == 1


pytestmark = pytest.mark.usefixtures("tiny_and_small", "without_pictures")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, photos: Path, small_network: Path) -> tuple[Path, Path]:
    """The same recipe with another seed, on the same test images."""
    root = tmp_path_factory.mktemp("runs")
    recipe = write_tiny(root / "tiny.yaml", photos, small_network)
    for seed in (1, 2):
        asked = ("--set", f"seed={seed}", "--out", root / f"seed {seed}", "--quiet")
        assert call("run", recipe, *asked, pictures=False) == 0
    return root / "seed 1", root / "seed 2"


def test_compare_shows_runs_side_by_side(surgeon: Surgeon, runs: tuple[Path, Path]) -> None:
    first, second = json.loads(surgeon("compare", *runs, "--format", "json").out)
    for run, column in zip(runs, (first, second), strict=True):
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        assert column["figures"]["network accuracy"] == result["evaluation"]["accuracy"]
        assert column["figures"]["epochs"] == 3
        assert next(iter(column["figures"])) == "validation accuracy"  # by which to choose
        assert column["figures"]["validation accuracy"] == result["phases"][-1]["history"]["val_accuracy"][-1]
    assert 0 < second["against_the_first"]["p_value"] <= 1
    assert "McNemar's p" in surgeon("compare", *runs).out


def test_the_best_of_each_measure_is_bold() -> None:
    rows = comparison_rows(
        [{"network accuracy": 0.9, "seconds": 5}, {"network accuracy": 0.8, "seconds": 9}], [None, None]
    )
    assert rows == [
        ("network accuracy", [("0.9000", True), ("0.8000", False)]),
        ("seconds", [("5", False), ("9", False)]),
    ]
    assert comparison_rows([{"network accuracy": 0.9}] * 2, [None, None])[0][1] == [("0.9000", False)] * 2


def test_other_test_images_are_no_test(surgeon: Surgeon, runs: tuple[Path, Path], tiny: Path, tmp_path: Path) -> None:
    override = ("--set", "data.split.seed=9")
    assert surgeon("run", tiny, "--out", tmp_path / "other", *override).code == 0
    _, second, third = json.loads(surgeon("compare", *runs, tmp_path / "other", "--format", "json").out)
    assert second["against_the_first"] is not None
    assert third["against_the_first"] is None
    assert [second["other_test_images"], third["other_test_images"]] == [False, True]
    warned = surgeon("compare", *runs, tmp_path / "other").out.replace("\n", " ")
    assert re.search(r"other was tested on other images than \S*seed 1: differences", warned)
    assert "other images" not in surgeon("compare", *runs).out
    assert surgeon("compare", runs[0]).code == 2


def test_a_card_is_what_hubs_read(surgeon: Surgeon, runs: tuple[Path, Path]) -> None:
    done = surgeon("card", runs[0])
    assert done.code == 0, done.err
    text = (runs[0] / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    metadata = yaml.safe_load(front)
    result = json.loads((runs[0] / "result.json").read_text(encoding="utf-8"))
    (model,) = metadata["model-index"]
    metrics = {metric["type"]: metric["value"] for metric in model["results"][0]["metrics"]}
    assert metrics["accuracy"] == pytest.approx(result["evaluation"]["accuracy"], abs=1e-4)
    assert metadata["library_name"] == "keras"
    assert "| across |" in body
    assert body.count("| fine-tune | block2a_dwconv to head_dense") == 1
    recipe = body.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(recipe)["seed"] == 1
    again = surgeon("card", runs[0])
    assert (again.code, "exists" in again.err) == (2, True)


def test_the_page_shows_both_runs_and_what_they_see_differently(
    surgeon: Surgeon, tiny: Path, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    worse = tmp_path / "<i>worse"
    assert surgeon("run", tiny, "--out", worse, "--set", "seed=1", "--set", "phases[0].lr=1e-9").code == 0
    page = tmp_path / "compare.html"
    done = surgeon("compare", runs[0], worse, "--out", page)
    assert done.code == 0, done.err
    text = page.read_text(encoding="utf-8")
    assert "<i>worse" not in text
    assert "<td>phases[0].lr.constant.value</td><td>0.01</td><td>1e-09</td>" in text
    first, second = (read_predictions(run) for run in (runs[0], worse))
    assert first is not None
    assert second is not None
    differing = sum(a != b for a, b in zip(first.predicted, second.predicted, strict=True))
    for width in (1200, 380):
        told = look(page, width, CHOOSE_PATTERNS)
        assert told["faults"] == told["requests"] == []
        assert (told["broken"], told["overflow"]) == (0, False)
        assert told["shown"] == differing
        assert sum(count for count, _ in told["filtered"]) == differing
        assert all(count == shown for count, shown in told["filtered"])
