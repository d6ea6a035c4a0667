"""Names that would be a language where they end up: a CSV file, a card, a page, a stream of another encoding."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from surgeon.cells import read_rows, write_rows
from surgeon.cli.output import open_streams
from surgeon.data.survey import survey_images
from surgeon.report.card import _markdown
from surgeon.report.progress import ProgressDisplay
from surgeon.report.terminal import Terminal
from surgeon.results.events import Note, Progress
from surgeon.runs.folder import read_predictions, read_splits
from surgeon.text import printable

Surgeon = Callable[..., Any]

CLASSES = (
    "=cmd|' calc'!A0",
    "'=quoted",
    "+1",
    "-1",
    "@sum",
    "\tindented",
    "# a | b",
    "[link](http:evil)",
    "<b>`bold`",
    "*rose* [male]",
    "esc\x1b[31m",
    "$x_1$ & _y_",
)
RECIPE = """\
recipe: 1
name: "hostile [x] | ``` names"
description: "  - [a list](http://evil.example), www.evil.example \\x1b[31m"
data: {source: {folder: photos}, image_size: 32, split: {test: 0.5, validation: 0, seed: 1}, batch_size: 8}
backbone: {name: efficientnetlite0, weights: none, cut: stem_activation}
head: [global_average_pooling, {dense: {units: classes, activation: softmax}}]
phases: [{name: "=warm|up", trainable: head, lr: 0.01, epochs: 1}]
"""

FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on classes of such names, in the folder ``run`` beside its photographs."""
    root = tmp_path_factory.mktemp("names")
    for number, label in enumerate(CLASSES):
        for image in range(2):
            draw(root / "photos" / label / f"{image}.png", 2 * number + image)
    (root / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    from surgeon.cli import main

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of characters that fonts lack
        patch.setattr(sys, "argv", ["surgeon", "run", str(root / "recipe.yaml"), "--out", str(root / "run"), "-q"])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return root / "run"


@pytest.mark.parametrize("name", ["predictions.csv", "splits.csv", "history.csv"])
def test_no_cell_of_a_run_is_a_formula(run: Path, name: str) -> None:
    with (run / name).open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if FORMULA.match(cell)]


def test_a_run_has_its_names_back(run: Path) -> None:
    predictions = read_predictions(run)
    assert predictions is not None
    assert set(predictions.classes) == set(CLASSES)
    files = {f"{label}/{image}.png" for label in CLASSES for image in range(2)}
    assert set(predictions.files) <= files
    assert {file for file, _ in read_splits(run)} == files
    with (run / "history.csv").open(encoding="utf-8", newline="") as file:
        assert [row[0] for row in read_rows(file)] == ["phase", "=warm|up"]


def test_a_file_of_a_run_is_a_source_with_the_same_names(surgeon: Surgeon, run: Path) -> None:
    listed = run.parent / "photos" / "listed.csv"
    listed.write_bytes((run / "splits.csv").read_bytes())
    recipe = run.parent / "listed.yaml"
    source = "{csv: {path: photos/listed.csv, image_column: file, label_column: label}}"
    recipe.write_text(RECIPE.replace("{folder: photos}", source), encoding="utf-8")
    checked = json.loads(surgeon("check", recipe, "--format", "json").out)
    listed.unlink()
    assert set(checked["images"]["train"]) == set(CLASSES)
    assert sum(map(sum, (split.values() for split in checked["images"].values()))) == 2 * len(CLASSES)


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1), min_size=1))
def test_cells_come_back_and_none_is_a_formula(rows: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    write_rows(file, rows)
    file.seek(0)
    assert list(read_rows(file)) == rows
    file.seek(0)
    assert not [cell for row in csv.reader(file) for cell in row if FORMULA.match(cell)]


def test_a_card_shows_names_and_obeys_none(surgeon: Surgeon, run: Path, tmp_path: Path) -> None:
    assert surgeon("card", run, "--out", tmp_path / "card.md").code == 0
    _, head, text = (tmp_path / "card.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(head)["model-index"][0]["name"] == yaml.safe_load(RECIPE)["name"]
    tokens = MarkdownIt().enable(["table", "strikethrough"]).parse(text)
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
    assert not kinds & {"link_open", "html_inline", "html_block", "em_open", "code_inline", "bullet_list_open"}
    (code,) = (token.content for token in tokens if token.type == "fence")
    assert yaml.safe_load(code)["name"] == yaml.safe_load(RECIPE)["name"]
    lines = {" ".join(plain(token).split()) for token in tokens if token.type == "inline"}
    assert {printable(name) for name in (*CLASSES, "=warm|up")} <= lines


def plain(token: Any) -> str:
    return "".join("\n" if child.type == "softbreak" else child.content for child in token.children)


@settings(max_examples=100)
@example("> a quotation")
@example(" > one")
@example("    code")
@given(st.text(st.sampled_from("ab1 \\`*_{}[]()<>#+-.!|&~$:/;w@\x1b\n\u202e"), min_size=1))
def test_markdown_of_a_text_shows_the_text(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(f"x {_markdown(text)} x\n\n{_markdown(text)}")
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    shown = [plain(token) for token in tokens if token.type == "inline"]
    assert " ".join(shown[0].split()) == " ".join(f"x {printable(text)} x".split())


def test_no_page_steers_who_looks_at_it(surgeon: Surgeon, run: Path, tmp_path: Path) -> None:
    assert surgeon("check", run.parent / "photos", "--sheet", tmp_path / "sheet.html", "--fail-on", "never").code == 0
    for page in (run / "report.html", tmp_path / "sheet.html"):
        text = page.read_text(encoding="utf-8")
        assert not set(text) & {"\x1b", "\u202e"}
        assert "<b>`bold`" not in text
    assert "esc\\x1b[31m" in (run / "report.html").read_text(encoding="utf-8")


linux = pytest.mark.skipif(sys.platform != "linux", reason="needs raw bytes in file names")


@pytest.fixture
def undecodable(tmp_path: Path) -> Path:
    """A folder whose name, class folders and files are not UTF-8; the classes differ in such a byte only."""
    folder = tmp_path / "fotos \udcfc"
    for number, label in enumerate(("caf\udce8", "caf\udce9", "\u65e5\u672c")):
        for image in range(7):
            made = draw(tmp_path / "plain.png", 7 * number + image)
            (folder / label).mkdir(parents=True, exist_ok=True)
            made.rename(folder / label / f"{image}\udce4.png")
    return folder


class Redirected:
    """Standard output in an encoding that refuses what it lacks."""

    def __init__(self, patch: pytest.MonkeyPatch, encoding: str) -> None:
        self._bytes, self._encoding = io.BytesIO(), encoding
        patch.setattr(sys, "stdout", io.TextIOWrapper(self._bytes, encoding, "strict", write_through=True))

    @property
    def text(self) -> str:
        return self._bytes.getvalue().decode(self._encoding)


every_encoding = pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])


@linux
@every_encoding
@pytest.mark.parametrize("form", ["text", "csv", "jsonl"])
def test_predict_names_every_file_on_every_output(
    surgeon: Surgeon, run: Path, undecodable: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, form: str
) -> None:
    stdout = Redirected(monkeypatch, encoding)
    assert surgeon("predict", run, undecodable, "--top", 1, "--format", form).code == 0
    text = stdout.text
    if form == "jsonl":
        files = {json.loads(line)["file"] for line in text.splitlines()}
        assert files == {str(file) for file in undecodable.glob("*/*")}
    else:
        japanese = "\u65e5\u672c" if encoding == "utf-8" else r"\u65e5\u672c"
        assert all(f"{label}/3\\xe4.png" in text for label in (r"caf\xe8", r"caf\xe9", japanese))


@linux
def test_a_list_of_names_is_read_as_bytes_and_copies_keep_theirs(
    surgeon: Surgeon, run: Path, undecodable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = b"\n".join(os.fsencode(file) for file in sorted(undecodable.glob("*/0*")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed), encoding="latin-1"))
    out = undecodable.parent / "sorted"
    assert surgeon("predict", run, "-", "--out", out).code == 0
    assert len(list(out.glob("*/0\udce4*.png"))) == 3


@linux
@every_encoding
def test_a_folder_that_is_not_utf8_is_checked_and_gets_a_recipe(
    surgeon: Surgeon, undecodable: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    stdout = Redirected(monkeypatch, encoding)
    recipe = undecodable.parent / "drafted.yaml"
    assert surgeon("init", undecodable, "--out", recipe).code == 0
    assert surgeon("validate", recipe).code == 0
    assert surgeon("check", undecodable).code == 0
    assert "21 images of 3 classes" in stdout.text
    assert set(survey_images(undecodable).classes) == {r"caf\xe8", r"caf\xe9", "\u65e5\u672c"}


@linux
def test_two_files_of_one_name_are_refused(surgeon: Surgeon, tmp_path: Path) -> None:
    for number, name in enumerate(("a/caf\u00e9.png", "a/cafe\u0301.png", "b/1.png")):
        draw(tmp_path / "photos" / name, number)
    done = surgeon("check", tmp_path / "photos")
    assert done.code == 1
    assert r"caf\xe9.png" in done.err
    assert r"cafe\u0301.png" in done.err


@every_encoding
def test_a_bar_is_drawn_on_a_terminal_of_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    stdout = Redirected(monkeypatch, encoding)
    open_streams()
    with ProgressDisplay(Terminal()) as display:
        display.show(Progress("caf\udce9 \u65e5", 1, 2, "images"))
        display._bars.refresh()
        display.show(Note("\u2026 \u00b1 caf\udce9"))
    assert "caf\\xe9" in stdout.text
