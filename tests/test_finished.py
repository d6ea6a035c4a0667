"""What comes after training loses nothing, whatever classes are called, networks look like and pictures raise."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from browser import look
from keras import layers
from PIL import Image

from surgeon import api
from surgeon.api import train
from surgeon.recipe.compiler import compile_recipe
from surgeon.results.run import result_figures
from surgeon.runs.folder import read_result
from surgeon.text import printable

Surgeon = Callable[..., Any]

NAMES = (
    "accuracy",
    "macro avg",
    "weighted avg",
    "micro avg",
    "file",
    "label",
    "predicted",
    "all",
    "_hidden",
    "cost $5^$ each",
    "\\frac{",
    "</script><img src=x onerror=alert(1)>",
    "'\" onclick=alert(1) {{ 7 * 7 }}",
    "日本",
    "мир",
    "سلام",
    "🌹",
    "line\nbreak",
    "back\u202ewards \x1b[31m",
    "n" * 300,
)


def build_branches() -> Any:
    """Joins pooled maps of two depths, one of them in a nested model; the cut drops layers that come before it."""
    inner = keras.Input((16, 16, 3))
    base = keras.Model(inner, layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(inner))), name="base")
    image = keras.Input((16, 16, 3))
    maps = base(layers.Rescaling(1 / 255)(image), training=False)
    deeper = layers.Conv2D(4, 3)(maps)
    dropped = maps
    for _ in range(4):
        dropped = layers.Conv2D(4, 3)(dropped)
    pooled = [layers.GlobalAveragePooling2D()(each) for each in (maps, deeper, dropped)]
    cut = layers.Concatenate(name="cut")(pooled[:2])
    return keras.Model(image, layers.Concatenate()([cut, pooled[2]]))


RECIPE = """\
recipe: 1
name: odd
data: {source: {csv: {path: images.csv, split_column: split}}, image_size: 16, batch_size: 32}
backbone: {model: branches.keras, preprocessing: none, cut: cut}
head: [{dense: {units: classes, activation: softmax}}]
phases: [{name: cost $5^$, trainable: head, lr: 0.01, epochs: 1}]
evaluate: {linear_probe: true}
"""


def write_recipe(folder: Path, classes: Sequence[str], splits: Sequence[str]) -> Path:
    """Writes an image for each class and split, but no test image of the first class; returns the recipe."""
    random = np.random.default_rng(0)
    with (folder / "images.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "split"))
        for number, name in enumerate(classes):
            for at, split in enumerate(splits):
                if split == "test" and number == 0:
                    continue
                image = folder / f"{number}-{at}.png"
                Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(image)
                table.writerow((image.name, name, split))
    build_branches().save(folder / "branches.keras")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network with branches and a nested model, cut before some of them, on classes of all names."""
    root = tmp_path_factory.mktemp("finished")
    plan = compile_recipe(write_recipe(root, NAMES, ("train", "train", "test")))
    assert plan.network.cut >= len(plan.network.rows)  # an index is no position
    train(plan, root / "run")
    return root / "run"


def test_the_run_ends_with_all_that_shows_it(run: Path) -> None:
    assert all((run / name).stat().st_size > 1000 for name in ("curves.png", "confusion.png", "report.html"))
    result = read_result(run)
    assert result.evaluation is not None
    assert set(result.evaluation.classes) == set(NAMES)
    assert result.evaluation.missing == ("accuracy",)


class Tags(HTMLParser):
    """Collects the names of a page's tags and attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.add(data.strip())


def test_every_name_is_text_on_the_page(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert {printable(name) for name in NAMES} <= tags.text
    assert not {"onclick", "onerror"} & tags.attributes
    assert "There are no images of accuracy, so averages are over the 19 classes with images." in tags.text
    told = look(run / "report.html", 380, "return {cells: document.querySelectorAll('#matrix button').length};")
    assert (told["faults"], told["requests"], told["broken"], told["overflow"]) == ([], [], 0, False)
    assert told["cells"] > 0


def test_a_card_and_a_comparison_say_what_the_run_says(surgeon: Surgeon, run: Path, tmp_path: Path) -> None:
    for command in (
        ("card", run, "--out", tmp_path / "card.md"),
        ("compare", run, run, "--out", tmp_path / "page.html"),
    ):
        done = surgeon(*command)
        assert done.code == 0, done.err
    assert "no images of accuracy" in (tmp_path / "card.md").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert {printable(name) for name in NAMES[1:]} <= tags.text
    assert not {"onclick", "onerror"} & tags.attributes


def test_whatever_a_picture_raises_is_a_note(surgeon: Surgeon, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {"curves.png": "draw_curves", "confusion.png": "draw_confusion", "report.html": "render_page"}
    with monkeypatch.context() as patch:
        for name, function in drawn.items():
            (run / name).unlink()
            patch.setattr(f"surgeon.publishing.page.{function}", raise_it(MemoryError("no room")))
        failed = surgeon("report", run)
    assert failed.code == 1
    assert all(f"no {name}: MemoryError: no room; `surgeon report" in failed.err for name in drawn)
    assert not any((run / name).exists() for name in drawn)
    assert surgeon("report", run).code == 0
    assert all((run / name).exists() for name in drawn)


@pytest.mark.parametrize(
    ("raising", "missing"),
    [("page.explained_pictures", "images on the page"), ("pictures.build_explainer", "explanations")],
)
def test_a_page_does_without_what_cannot_be_shown(
    run: Path, surgeon: Surgeon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raising: str, missing: str
) -> None:
    former = Path(shutil.copytree(run, tmp_path / "run"))
    (former / "pictures.zip").unlink()
    monkeypatch.setattr(f"surgeon.publishing.{raising}", raise_it(KeyError("x")))
    done = surgeon("report", former, "--out", tmp_path / "page.html")
    assert (done.code, f"no {missing}: KeyError: 'x'" in done.err) == (0, True)
    assert (tmp_path / "page.html").exists()


def test_a_run_whose_end_was_lost_is_resumed_to_it(
    surgeon: Surgeon, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All is there but `result.json`, and nothing can be drawn: it ends all the same, and says what is missing."""
    lost = tmp_path / "lost"
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(api, "finish_run", raise_it(full))
        failed = surgeon("run", run.parent / "recipe.yaml", "--out", lost)
    assert failed.code == 1
    assert "surgeon resume" in failed.err
    assert (lost / "checkpoint.npz").exists()
    monkeypatch.setattr("surgeon.publishing.page.draw_curves", raise_it(RuntimeError("no font")))
    resumed = surgeon("resume", lost)
    assert resumed.code == 0, resumed.err
    assert "no curves.png: RuntimeError: no font; `surgeon report" in resumed.err
    assert {path.name for path in lost.iterdir()} >= {"result.json", "confusion.png", "report.html"}
    assert not (lost / "checkpoint.npz").exists()
    before, after = (result_figures(read_result(folder)) for folder in (run, lost))
    assert before.keys() == after.keys()


def test_ctrl_c_while_the_page_is_made_leaves_a_finished_run(
    surgeon: Surgeon, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("surgeon.publishing.page.render_page", raise_it(KeyboardInterrupt()))
    stopped = surgeon("run", run.parent / "recipe.yaml", "--out", tmp_path / "run")
    assert stopped.code == 130
    assert "the run itself is finished; `surgeon report" in stopped.err
    assert (tmp_path / "run" / "result.json").exists()


def raise_it(error: BaseException) -> Callable[..., None]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.slow
def test_a_thousand_classes_fit_on_a_page(surgeon: Surgeon, tmp_path: Path) -> None:
    """What a run leaves grows with its classes and images, not with the square of the classes."""
    classes = [f"Genus {number // 10} species {number}" for number in range(1000)]
    recipe = write_recipe(tmp_path, classes, ("train", "test"))
    done = surgeon("run", recipe, "--out", tmp_path / "run", "--set", "evaluate.linear_probe=false")
    assert done.code == 0, done.err
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "run").iterdir()}
    assert sizes["report.html"] < 3_000_000
    assert sizes["result.json"] < 500_000
    assert sizes["confusion.png"] < 2_000_000
    told = look(tmp_path / "run" / "report.html", 380, CHOOSE_A_PAIR)
    assert (told["faults"], told["requests"], told["broken"], told["overflow"]) == ([], [], 0, False)
    assert told["pairs"] == 100
    assert told["shown"] == told["announced"] > 0
    assert told["found"] == 1
    assert told["sorted"] == sorted(told["sorted"])


# Chooses a mistake that is among the images shown, looks for a class, and sorts the classes by their F1.
CHOOSE_A_PAIR = """
  const pairs = [...document.querySelectorAll("#matrix tbody button")];
  pairs.find(pair => document.querySelector(`#gallery [data-is="${pair.dataset.shows}"]`)).click();
  const shown = document.querySelectorAll("#gallery figure:not([hidden])").length;
  const announced = parseInt(document.getElementById("chosen").textContent);
  const table = document.querySelector("[aria-labelledby=measures] table");
  const field = document.querySelector("[aria-labelledby=measures] input");
  field.value = "species 777";
  field.dispatchEvent(new Event("input"));
  const found = table.tBodies[0].querySelectorAll("tr:not([hidden])").length;
  table.querySelectorAll("thead button")[3].click();
  const sorted = [...table.tBodies[0].rows].map(row => Number(row.cells[3].textContent));
  return {pairs: pairs.length, shown, announced, found, sorted};
"""
