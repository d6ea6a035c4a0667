"""Runs of one recipe in series: with each part of the images held out in turn."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import surgeon as api
from surgeon.recipe.compiler import compile_recipe, validate_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Outcome

    Surgeon = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture
def recipe(tiny: Path, tiny_and_small: None) -> Path:
    """A recipe of one phase, without validation images."""
    text = tiny.read_text(encoding="utf-8").replace("validation: 0.25", "validation: 0.1")
    tiny.write_text(text.partition("  - name: fine-tune")[0], encoding="utf-8")
    return tiny


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def test_each_image_is_tested_once_by_a_network_that_did_not_see_it(
    recipe: Path, surgeon: Surgeon, tmp_path: Path
) -> None:
    arguments = ("run", recipe, "--folds", 3, "--out", tmp_path / "runs", "--format", "json")
    done = surgeon(*arguments)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    runs = [Path(run) for run in found["runs"]]
    assert [run.name for run in runs] == ["fold-1", "fold-2", "fold-3"]

    tested = [row["file"] for run in runs for row in rows(run / "splits.csv") if row["split"] == "test"]
    assert len(tested) == len(set(tested)) == 24
    for run in runs:
        splits = rows(run / "splits.csv")
        assert Counter((row["split"], row["label"]) for row in splits)["test", "along"] == 4
        assert {row["split"] for row in splits} == {"train", "validation", "test"}
        assert len(splits) == 24

    together = rows(tmp_path / "runs" / "predictions.csv")
    assert together == [row for run in runs for row in rows(run / "predictions.csv")]
    right = sum(row["label"] == row["predicted"] for row in together)
    assert found["evaluation"]["accuracy"] == pytest.approx(right / 24)
    accuracies = [json.loads((run / "result.json").read_text())["evaluation"]["accuracy"] for run in runs]
    assert found["figures"]["network accuracy"]["values"] == accuracies
    assert json.loads((tmp_path / "runs" / "series.json").read_text(encoding="utf-8")) == {
        **{"version": 1, **found},
        "runs": ["fold-1", "fold-2", "fold-3"],
    }
    page = (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    assert "3 runs of tiny" in page
    assert "each tested by the run that was not trained on it" in page
    matrix = re.sub(r"<[^>]+>", " ", page[page.index('id="matrix"') :].partition("</table>")[0]).split()
    assert sum(int(word) for word in matrix if word.isdecimal()) == 24

    # What is there is not run again.
    before = [(run / "result.json").stat().st_mtime_ns for run in runs]
    assert json.loads(surgeon(*arguments).out) == found
    assert [(run / "result.json").stat().st_mtime_ns for run in runs] == before


@pytest.mark.slow
def test_a_fold_is_a_run_of_its_own(recipe: Path, surgeon: Surgeon, tmp_path: Path) -> None:
    told = surgeon("run", recipe, "--set", "data.folds=3", "--out", tmp_path / "runs")
    assert [f"test images: fold {number} of 3" in told.err for number in (1, 2, 3)] == [True] * 3
    assert "24 images, each tested once" in told.out
    assert surgeon("run", recipe, "--set", "data={folds: 3, fold: 2}", "--out", tmp_path / "alone").code == 2
    settings = ("--set", "data.folds=3", "--set", "data.fold=2")
    assert surgeon("run", recipe, *settings, "--out", tmp_path / "alone").code == 0
    alone, one = (
        json.loads((folder / "result.json").read_text()) for folder in (tmp_path / "alone", tmp_path / "runs/fold-2")
    )
    assert alone["phases"][0]["audit"]["digest"] == one["phases"][0]["audit"]["digest"]
    assert alone["evaluation"] == one["evaluation"]


def test_images_of_a_group_are_in_one_fold(recipe: Path, photos: Path, surgeon: Surgeon) -> None:
    from surgeon.data.dataset import index_images
    from surgeon.results.subscribers import drive

    settings = ("data.folds=3", r"data.split.group={pattern: '^(.)'}")  # 0, 1 with 10 and 11, 2 and so on
    of = {}
    for fold in (1, 2, 3):
        index = drive(index_images(compile_recipe(recipe, (*settings, f"data.fold={fold}")).data))
        for image, split in zip(index.images, index.splits, strict=True):
            if split == "test":
                of.setdefault((image.label, image.name.split("/")[-1][0]), set()).add(fold)
    assert len(of) == 20
    assert all(len(folds) == 1 for folds in of.values())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("data.fold=2",), "data.fold is given without data.folds"),
        (("data.folds=3", "data.fold=4"), "there is no fold 4 of 3"),
        (("data.folds=1",), "expected at least 2"),
        (("data.folds=13",), "'across' has 12 images, too few for 13 folds"),
        (("data.folds=2", "data.split.validation=0.5"), "leaves nothing to train on"),
    ],
)
def test_folds_that_cannot_be_are_said(recipe: Path, settings: tuple[str, ...], said: str) -> None:
    (problem,) = validate_recipe(recipe, settings)
    assert said in problem.message


def test_a_series_is_one_thing_or_the_other(recipe: Path, surgeon: Surgeon) -> None:
    done = surgeon("run", recipe, "--folds", 3, "--repeat", 2)
    assert (done.code, "--repeat and --folds" in done.err) == (2, True)
    done = surgeon("run", recipe, "--folds", 3, "--set", "data.fold=2")
    assert (done.code, "data.fold asks for number 2 alone" in done.err) == (2, True)


def test_a_source_with_test_images_of_its_own_has_no_folds(recipe: Path, surgeon: Surgeon, photos: Path) -> None:
    held_out = recipe.with_name("held-out")
    for split in ("train", "test"):
        for label in ("across", "along"):
            (held_out / split / label).mkdir(parents=True)
            for number in range(6):
                name = f"{number + 6 * (split == 'test')}.png"
                (held_out / split / label / name).write_bytes((photos / label / name).read_bytes())
    done = surgeon("run", recipe, "--folds", 3, "--set", f"data.source={{folder: '{held_out}'}}")
    assert done.code == 1
    assert "the source has its own test images" in done.err


@pytest.mark.slow
def test_python_says_the_same(recipe: Path, tmp_path: Path) -> None:
    series: Any = api.cross_validate(recipe, 2, tmp_path / "runs")
    assert len(series.runs) == 2
    assert series.evaluation.weighted.support == 24
    assert series.figures["network accuracy"].mean == pytest.approx(series.evaluation.accuracy, abs=0.01)
    assert len(api.repeat(recipe, 2, tmp_path / "seeds").figures["network accuracy"].values) == 2


def test_nothing_is_overwritten_and_nothing_is_mixed(
    recipe: Path, surgeon: Surgeon, tmp_path: Path, finished_run: Path, photos: Path
) -> None:
    before = (finished_run / "predictions.csv").read_bytes()
    done = surgeon("run", recipe, "--folds", 2, "--out", finished_run)
    assert (done.code, "is not empty" in done.err) == (2, True)
    assert (finished_run / "predictions.csv").read_bytes() == before

    own = tmp_path / "own"
    for label in ("across", "along"):
        (own / label).mkdir(parents=True)
        for number in range(8):
            (own / label / f"{number}.png").write_bytes((photos / label / f"{number}.png").read_bytes())
    arguments = ("run", recipe, "--set", f"data.source={{folder: '{own}'}}")
    one_fold = ("--set", "data.folds=2", "--set", "data.fold=1")
    assert surgeon(*arguments, *one_fold, "--out", tmp_path / "runs" / "fold-1").code == 0
    (own / "along" / "new.png").write_bytes((photos / "along" / "9.png").read_bytes())
    done = surgeon(*arguments, "--folds", 2, "--out", tmp_path / "runs")
    assert (done.code, "have different images" in done.err) == (1, True)


@pytest.mark.parametrize("command", [("run", "--repeat", 2), ("sweep",)])
def test_other_series_ask_which_fold(recipe: Path, surgeon: Surgeon, command: tuple[object, ...]) -> None:
    name, *options = command
    vary = "sweep={vary: {seed: [1, 2]}, method: grid}"
    done = surgeon(name, recipe, *options, "--set", "data.folds=3", "--set", vary)
    assert (done.code, "data.fold: 1" in done.err) == (2, True)


@pytest.mark.slow
def test_a_run_from_before_there_were_keys_goes_on(recipe: Path, surgeon: Surgeon, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "seed-7"
    assert surgeon("run", recipe, "--out", folder).code == 0
    record = json.loads((folder / "plan.json").read_text())
    for key in ("resize", "interpolation"):
        del record["plan"]["data"][key], record["plan"]["recipe"]["data"][key]
    (folder / "plan.json").write_text(json.dumps(record))
    assert surgeon("run", recipe, "--repeat", 2, "--out", tmp_path / "runs").code == 0
    other = surgeon("run", recipe, "--repeat", 2, "--out", tmp_path / "runs", "--set", "data.resize=pad")
    assert (other.code, "is a run of another recipe" in other.err) == (2, True)
