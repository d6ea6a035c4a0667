"""The page of a run, opened in a browser."""

from __future__ import annotations

import re
import shutil
import tracemalloc
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import look
from conftest import call, write_tiny
from sklearn.metrics import average_precision_score

from surgeon.evaluation.calibration import bootstrap, calibrate
from surgeon.evaluation.curves import class_curves
from surgeon.recipe.compiler import compile_recipe

Surgeon = Callable[..., Any]

# Chooses each cell of the confusion matrix; tells which images are shown then, and what the recipe's button copies;
# points at the last epoch in the chart of the loss.
CHOOSE_CELLS = """
  const cells = [...document.querySelectorAll("#matrix button:not(:disabled)")];
  const shown = () => document.querySelectorAll("#gallery figure:not([hidden])").length;
  const before = shown();
  const filtered = cells.map(cell => {
    cell.click();
    const right = [...document.querySelectorAll("#gallery figure:not([hidden])")]
      .every(({dataset}) => dataset.is === cell.dataset.shows);
    return [Number(cell.textContent), shown(), right];
  });
  document.getElementById("all").click();
  let copied;
  Object.defineProperty(navigator, "clipboard", {value: {writeText: text => { copied = text; }}});
  document.querySelector("[aria-labelledby=recipe] button").click();
  const epoch = [...document.querySelectorAll(".history svg")][0].querySelector(".spot:last-child");
  epoch.dispatchEvent(new PointerEvent("pointermove", {bubbles: true}));
  const marked = document.querySelectorAll(".spot.at").length;
  const contents = [...document.querySelectorAll("nav a")].every(link => document.querySelector(link.hash));
  const pointed = document.querySelector(".epoch").textContent;
  return {filtered, before, after: shown(), copied, pointed, marked, contents};
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    root = tmp_path_factory.mktemp("finished")
    asked = ("--set=name=<b>tiny & co", "--set", "evaluate.linear_probe=true", "--quiet")
    assert call("run", write_tiny(root / "tiny.yaml", photos), *asked, "--out", root / "run") == 0
    return root / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def check_page(page: Path, images: int) -> None:
    """Holds a page against what is asked of it, wide and light, narrow and dark."""
    for width, dark in ((1200, False), (380, True)):
        told = look(page, width, CHOOSE_CELLS, dark=dark)
        assert told["light"] is not dark
        assert told["faults"] == []
        assert told["broken"] == 0
        assert told["images"] > images
        assert told["requests"] == []
        assert not told["overflow"]
        assert told["before"] == told["after"] == images
        assert (told["marked"], told["contents"]) == (3, True)
        assert re.fullmatch(r"fine-tune, epoch \d+: .*loss [\d.]+, accuracy [\d.]+, lr .*", told["pointed"])
        assert told["filtered"]
        assert all(count == shown and right for count, shown, right in told["filtered"])
        copied = page.with_name("copied.yaml")
        copied.write_text(told["copied"], encoding="utf-8")
        assert compile_recipe(copied).recipe == compile_recipe(page.parent / "recipe.yaml").recipe


def test_the_page_works_in_a_browser(surgeon: Surgeon, run: Path) -> None:
    """It was made at the end of the run, and the same is made again."""
    check_page(run / "report.html", images=6)
    before = (run / "report.html").read_text(encoding="utf-8")
    assert surgeon("report", run).code == 0
    assert (run / "report.html").read_text(encoding="utf-8") == before


class Tags(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.without_alt = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.references += [found[name] or "" for name in ("src", "href") if name in found]
        self.without_alt += tag == "img" and not found.get("alt")


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert {reference.split(":")[0] for reference in tags.references} == {"data"}
    assert tags.without_alt == 0
    assert "<b>tiny" not in text
    assert "&lt;b&gt;tiny &amp; co" in text


def test_only_a_finished_run_has_a_page(surgeon: Surgeon, run: Path) -> None:
    (run / "result.json").unlink()
    done = surgeon("report", run)
    assert (done.code, "is not finished" in done.err) == (2, True)


class TestCalibration:
    def test_a_network_that_is_as_right_as_it_is_sure(self) -> None:
        random = np.random.default_rng(0)
        probabilities = random.dirichlet([0.5] * 4, 20_000)
        labels = np.array([random.choice(4, p=row) for row in probabilities])
        found = calibrate(probabilities, labels)
        assert found.error < 0.02
        assert found.temperature == pytest.approx(1, abs=0.05)
        assert sum(count for _, _, count in found.bins) == 20_000

    def test_a_network_that_is_too_sure_by_a_factor(self) -> None:
        random = np.random.default_rng(1)
        true = random.dirichlet([0.5] * 4, 20_000)
        labels = np.array([random.choice(4, p=row) for row in true])
        sharpened = true**3 / (true**3).sum(axis=1, keepdims=True)
        found = calibrate(sharpened, labels)
        assert found.temperature == pytest.approx(3, rel=0.1)
        assert found.error > 3 * found.error_at_temperature

    def test_intervals_hold_the_figure_and_shrink_with_images(self) -> None:
        random = np.random.default_rng(2)
        widths = []
        for count in (100, 10_000):
            labels = random.integers(0, 3, count)
            predicted = np.where(random.random(count) < 0.9, labels, (labels + 1) % 3)
            interval = bootstrap(labels, predicted)["accuracy"]
            assert interval.low < (labels == predicted).mean() < interval.high
            widths.append(interval.high - interval.low)
        # The standard error of a part p of n is the root of p (1 - p) / n.
        assert widths[1] == pytest.approx(2 * 1.96 * np.sqrt(0.9 * 0.1 / 10_000), rel=0.15)
        assert widths[0] > 5 * widths[1]

    def test_a_class_that_is_always_first_has_an_average_precision_of_one(self) -> None:
        labels = np.array([0, 0, 1, 1, 1])
        probabilities = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.3, 0.7, 0], [0.7, 0.3, 0], [0.6, 0.4, 0]])
        first, second = class_curves(probabilities, labels, ("a", "b", "c"))
        assert (first.name, first.average_precision) == ("a", 1.0)
        assert second.average_precision == 1.0
        assert len(first.recall) == len(first.precision)

    def test_a_curve_is_that_of_scikit_learn_by_few_points(self) -> None:
        random = np.random.default_rng(3)
        labels = random.integers(0, 50, 5000)
        probabilities = random.random((5000, 50), np.float32)
        probabilities[np.arange(5000), labels] += 0.5
        for number, curve in enumerate(class_curves(probabilities, labels, [str(number) for number in range(50)])):
            truth, scores = labels == number, probabilities[:, number]
            assert curve.average_precision == pytest.approx(average_precision_score(truth, scores))
            assert len(curve.recall) <= 100
            area = np.trapezoid(curve.precision[::-1], curve.recall[::-1])
            assert area == pytest.approx(curve.average_precision, abs=0.02)

    def test_measures_take_no_more_room_than_the_predictions(self) -> None:
        """A resample is counts, a curve few points, and a temperature looks at some images at a time."""
        random = np.random.default_rng(4)
        labels = random.integers(0, 20, 100_000)
        probabilities = random.dirichlet([0.2] * 20, 100_000).astype(np.float32)
        bootstrap(labels[:100], labels[:100])  # what is imported takes room once
        for measure in (
            lambda: bootstrap(labels, probabilities.argmax(axis=1)),
            lambda: calibrate(probabilities[:50_000], labels[:50_000]),
            lambda: class_curves(probabilities, labels, [str(number) for number in range(20)]),
        ):
            tracemalloc.start()
            measure()
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 40_000_000
