"""Classes of a source under other names, fewer of them, in another order."""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from surgeon.data.dataset import index_images
from surgeon.recipe.compiler import compile_recipe, validate_recipe
from surgeon.results.subscribers import drive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Outcome

    Surgeon = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("without_pictures")

KINDS = ("elm", "fir", "oak", "pine")
MERGED = "data.classes={rename: {fir: conifer, pine: conifer}, leave_out: [elm], order: [oak, conifer]}"


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures in each of four folders, two of them in one folder below."""
    root = tmp_path_factory.mktemp("trees")
    random = np.random.default_rng(0)
    for at, kind in enumerate(KINDS):
        for number in range(8):
            folder = root / kind / (f"walk {number // 2}" if number < 4 else "")
            folder.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (12, 12, 3), np.uint8) // 4 + 40 * at
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


@pytest.fixture
def recipe(tiny: Path, trees: Path, tiny_and_small: None) -> Path:
    text = tiny.read_text(encoding="utf-8").replace("source: {folder:", f"source: {{folder: '{trees}'}} #")
    tiny.write_text(text.partition("  - name: fine-tune")[0], encoding="utf-8")
    return tiny


def test_classes_are_renamed_merged_left_out_and_ordered(recipe: Path, surgeon: Surgeon, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = surgeon("run", recipe, "--set", MERGED, "--out", run)
    assert done.code == 0, done.err
    result = json.loads((run / "result.json").read_text())
    assert result["evaluation"]["classes"] == ["oak", "conifer"]
    with (run / "splits.csv").open(newline="") as text:
        assert Counter(row["label"] for row in csv.DictReader(text)) == {"oak": 8, "conifer": 16}
    assert json.loads((run / "bundle.json").read_text())["classes"] == ["oak", "conifer"]
    # The resolved recipe gives the same again.
    again = compile_recipe(run / "recipe.yaml")
    assert again.classes == ("oak", "conifer")


def test_other_images_may_have_the_old_names(recipe: Path, trees: Path, surgeon: Surgeon, tmp_path: Path) -> None:
    assert surgeon("run", recipe, "--set", MERGED, "--out", tmp_path / "run").code == 0
    found = json.loads(surgeon("evaluate", tmp_path / "run", trees, "--format", "json").out)
    assert found["unknown"] == {"elm": 8}
    assert [measures["support"] for measures in found["evaluation"]["per_class"]] == [8, 16]


def test_groups_are_those_of_the_source(recipe: Path) -> None:
    index = drive(index_images(compile_recipe(recipe, (MERGED, "data.split.group=folder")).data))
    below = {}
    for image, split in zip(index.images, index.splits, strict=True):
        if "walk" in image.name:
            below.setdefault(image.name.rpartition("/")[0], set()).add(split)
    assert len(below) == 6
    assert all(len(splits) == 1 for splits in below.values())


@pytest.mark.parametrize(
    ("asked", "path", "said", "hint"),
    [
        ("{rename: {fit: conifer}}", "rename.fit", "the source has no class 'fit'", "did you mean 'fir'?"),
        ("{leave_out: [ash]}", "leave_out[0]", "the source has no class 'ash'", "expected elm, fir, oak, pine"),
        (
            "{rename: {elm: x}, leave_out: [elm]}",
            "leave_out[0]",
            "'elm' is both renamed and left out",
            "do only one of the two",
        ),
        ("{rename: {elm: fir}, leave_out: [fir]}", "rename.elm", "'fir' is left out", None),
        ("{leave_out: [elm, fir, oak]}", "", "only 'pine' is left", None),
        ("{rename: {elm: a, fir: a, oak: a, pine: a}}", "", "only 'a' is left", None),
        ("{order: [pine, oak, fir]}", "order", "'elm' is missing", "name each class once"),
        ("{order: [pine, oak, fir, elm, elm]}", "order[4]", "'elm' is listed twice", None),
        ("{leave_out: [elm], order: [elm, oak, fir, pine]}", "order[0]", "'elm' is not one of the remaining", None),
    ],
)
def test_what_cannot_be_done_is_said(recipe: Path, asked: str, path: str, said: str, hint: str | None) -> None:
    (problem,) = validate_recipe(recipe, (f"data.classes={asked}",))
    assert problem.path.removeprefix("data.classes").removeprefix(".") == path
    assert said in problem.message
    assert hint is None or hint == problem.hint


def test_a_sweep_does_not_vary_them(recipe: Path) -> None:
    problems = validate_recipe(recipe, ("sweep={vary: {data.classes.leave_out: [[elm], [oak]]}}",))
    assert any("is the same for all trials" in problem.message for problem in problems)


def test_names_of_files_say_the_class(recipe: Path, trees: Path, surgeon: Surgeon, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in trees.glob("*/*.png"):
        (flat / f"{file.parent.name}_{file.stem}.png").write_bytes(file.read_bytes())
    source = f"data.source={{file_names: {{path: '{flat}', pattern: '^(.+)_'}}}}"
    done = surgeon("run", recipe, "--set", source, "--set", "data.split.validation=0", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    found = json.loads(surgeon("evaluate", tmp_path / "run", flat, "--format", "json").out)
    assert [measures["support"] for measures in found["evaluation"]["per_class"]] == [4, 4, 4, 4]
    wrong = validate_recipe(recipe, (source.replace("(.+)_", ".+_"),))
    assert any("has no group" in problem.message for problem in wrong)
