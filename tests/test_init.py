"""``surgeon init``: a recipe that runs, or an answer that says what was given instead of a folder of class folders."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from surgeon.data.dataset import index_images
from surgeon.data.draft import draft_recipe
from surgeon.data.survey import survey_images
from surgeon.recipe.compiler import compile_recipe

Surgeon = Callable[..., Any]


def fill(root: Path, classes: int, images: int, write_image: Callable[..., Path]) -> Path:
    for label in range(classes):
        for number in range(images):
            write_image(root / f"c{label}" / f"{number}.png", 1000 * label + number, (8, 8))
    return root


@pytest.mark.parametrize(
    ("classes", "images", "held_out"),
    [
        (2, 1, set()),
        (2, 2, set()),
        (2, 3, {"test"}),
        (3, 4, {"test"}),
        (4, 5, {"test"}),
        (10, 6, {"test"}),
        (2, 7, {"test", "validation"}),
        (2, 14, {"test", "validation"}),
    ],
)
def test_a_recipe_for_few_images_runs(  # noqa: PLR0917
    classes: int,
    images: int,
    held_out: set[str],
    surgeon: Surgeon,
    tmp_path: Path,
    write_image: Callable[..., Path],
    finish: Callable,
) -> None:
    recipe = tmp_path / "few.yaml"
    assert surgeon("init", fill(tmp_path / "photos", classes, images, write_image), "--out", recipe).code == 0
    assert surgeon("validate", recipe).code == 0
    plan = compile_recipe(recipe)
    index, _ = finish(index_images(plan.data))
    assert set(index.splits) == {"train"} | held_out
    trained = Counter(image.label for image, split in zip(index.images, index.splits, strict=True) if split == "train")
    assert all(count >= min(images, 2) for count in trained.values())
    assert all((phase.until is not None) <= ("validation" in held_out) for phase in plan.phases)
    says_why = f"has only {images} image" in recipe.read_text(encoding="utf-8")
    assert says_why == ("validation" not in held_out)


def test_classes_too_small_to_be_divided_are_trained_on_and_the_others_are_tested(
    surgeon: Surgeon, tmp_path: Path, write_image: Callable[..., Path], finish: Callable
) -> None:
    photos, recipe = fill(tmp_path / "photos", 2, 21, write_image), tmp_path / "long-tailed.yaml"
    for name, images in (("one", 1), ("two", 2)):
        for number in range(images):
            write_image(photos / name / f"{number}.png", 5000 + 10 * images + number, (8, 8))
    assert surgeon("init", photos, "--out", recipe).code == 0
    text = recipe.read_text(encoding="utf-8")
    assert "'one' (1), 'two' (2): too few images, only trained on" in text
    assert "class_weight: sqrt_balanced" in text
    index, _ = finish(index_images(compile_recipe(recipe).data))
    of_class: dict[str, set[str]] = {}
    for image, split in zip(index.images, index.splits, strict=True):
        of_class.setdefault(image.label, set()).add(split)
    every = {"train", "validation", "test"}
    assert of_class == {"c0": every, "c1": every, "one": {"train"}, "two": {"train"}}
    assert surgeon("validate", recipe).code == 0


def write_table(file: Path, photos: Path, header: str, row: Callable[[Path, int], str]) -> Path:
    """Writes a line for each photograph, whose paths are relative to the table."""
    shutil.copytree(photos, file.parent / "images")
    images = sorted(file.parent.glob("images/*/*.png"))
    lines = [row(image.relative_to(file.parent), number) for number, image in enumerate(images)]
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("classes", "splits", "views"),
    [
        ({"oak": 100, "elm": 100}, {}, 8),
        ({"oak": 2500, "elm": 2500}, {}, 4),
        ({"oak": 2500, "elm": 2500}, {"train": 2000, "test": 3000}, 8),  # no copies are made of test images
        ({"oak": 2500, "elm": 2500}, {"validation": 1000, "test": 1000}, 4),
        ({"oak": 50_000, "elm": 50_000}, {}, 2),
    ],
)
def test_the_more_images_are_trained_on_the_fewer_copies_are_kept_of_each(
    classes: dict[str, int], splits: dict[str, int], views: int, tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    survey = survey_images(fill(tmp_path, 2, 3, write_image))
    drafted = draft_recipe(replace(survey, classes=classes, splits=splits), tmp_path / "recipe.yaml")
    assert yaml.safe_load(drafted)["augment"]["views"] == views


def test_a_table_is_drafted_by_what_is_in_its_columns(surgeon: Surgeon, tmp_path: Path, photos: Path) -> None:
    def row(image: Path, number: int) -> str:
        return f"{number},{('train', 'valid', 'test')[number % 3]},{image.as_posix()},{image.parent.name},{number / 7}"

    table = write_table(tmp_path / "trees, all.csv", photos, "id,part,where is it,grain,age", row)
    recipe = tmp_path / "below" / "trees.yaml"
    recipe.parent.mkdir()
    made = surgeon("init", table, "--out", recipe)
    assert (made.code, "24 images of 2 classes" in made.out) == (0, True)
    assert surgeon("validate", recipe).code == 0
    plan = compile_recipe(recipe)
    path = plan.data.source.parameters["path"]
    assert Path(path).resolve() == table.resolve()
    assert plan.data.source.parameters == {
        "path": path,
        "image_column": "where is it",
        "label_column": "grain",
        "split_column": "part",
    }
    assert plan.classes == ("across", "along")
    assert plan.name == "trees, all"
    assert "they have train (8), validation (8), test (8)" in " ".join(recipe.read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("path;label", "{image};{label}", "separated by semicolons"),
        ("path,label", "elsewhere/{image},{label}", "has paths of existing files"),
        ("path,kind,place", "{image},{label},{place}", "has the labels: 'kind', 'place'; call it 'label'"),
        ("path,number", "{image},{number}", "has the labels: 'number'; call it 'label'"),
        ("path,kind,label", "{image},{place},{label}", None),
    ],
)
def test_a_table_that_does_not_tell_is_asked_for(
    surgeon: Surgeon, tmp_path: Path, photos: Path, header: str, row: str, said: str | None
) -> None:
    def line(image: Path, number: int) -> str:
        return row.format(image=image.as_posix(), label=image.parent.name, number=number, place="ab"[number % 2])

    made = surgeon("init", write_table(tmp_path / "table.csv", photos, header, line), "--out", tmp_path / "t.yaml")
    assert (made.code == 0) == (said is None)
    assert said is None or said in " ".join(made.err.replace("hint: ", "; ").split()).replace(" ;", ";")


@pytest.mark.slow
def test_what_is_measured_stands_in_the_recipe(
    surgeon: Surgeon, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = surgeon("init", photos, "--out", tmp_path / "found.yaml", "--measure", "60 s")
    assert made.code == 0, made.err
    assert surgeon("validate", tmp_path / "found.yaml").code == 0
    text = (tmp_path / "found.yaml").read_text(encoding="utf-8")
    assert "# Measured within 1 min: the cut by a linear probe, the rest by a sweep." in text
    assert "cut" in yaml.safe_load(text)["backbone"]
    (folder,) = (tmp_path / "sweeps").iterdir()
    assert surgeon("report", folder).code == 0


def test_copies_of_an_image_count_once(
    surgeon: Surgeon, tmp_path: Path, write_image: Callable[..., Path], finish: Callable
) -> None:
    root = fill(tmp_path / "photos", 2, 4, write_image)
    for number in range(20):
        shutil.copy(root / "c0/0.png", root / f"c0/copy {number}.png")
    assert surgeon("init", root, "--out", tmp_path / "few.yaml").code == 0
    finish(index_images(compile_recipe(tmp_path / "few.yaml").data))


def test_a_name_that_looks_like_a_number_stays_text(
    surgeon: Surgeon, tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    for name in ("01", "1e5", "on", "~"):
        recipe = tmp_path / "recipe.yaml"
        recipe.unlink(missing_ok=True)
        surgeon("init", fill(tmp_path / name, 2, 3, write_image), "--out", recipe)
        assert surgeon("validate", recipe).code == 0
        assert compile_recipe(recipe).name == name


def test_what_is_left_out_is_named(surgeon: Surgeon, tmp_path: Path, write_image: Callable[..., Path]) -> None:
    root = fill(tmp_path / "photos", 2, 3, write_image)
    for number in range(6):
        write_image(root / f"c0/{number}.ppm", number)
    done = surgeon("init", root, "--out", tmp_path / "r.yaml")
    assert "c0/0.ppm, c0/1.ppm, c0/2.ppm, c0/3.ppm, and 2 more" in " ".join(done.out.split())
    assert "c0/0.ppm" in (tmp_path / "r.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load((tmp_path / "r.yaml").read_text(encoding="utf-8"))["recipe"] == 1
    planned = " ".join(surgeon("plan", tmp_path / "r.yaml").out.split())
    assert "c0/0.ppm, c0/1.ppm, c0/2.ppm, c0/3.ppm, and 2 more" in planned


@pytest.fixture
def misplaced(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """What people give where a folder of class folders is expected."""
    photos = fill(tmp_path / "photos", 2, 2, write_image)
    shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    shutil.make_archive(str(tmp_path / "photos"), "gztar", photos)
    shutil.copy(tmp_path / "photos.zip", tmp_path / "download")
    (tmp_path / "labels.tsv").write_text("path,label\n")
    (tmp_path / "mine.yaml").write_text("recipe: 1\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "packed").mkdir()
    shutil.copy(tmp_path / "photos.zip", tmp_path / "packed/a.zip")
    shutil.copytree(photos, tmp_path / "outer/inner")
    for number in range(3):
        write_image(tmp_path / f"flat/{number}.png", number)
        write_image(tmp_path / f"ppm/a/{number}.ppm", number)
        write_image(tmp_path / f"split/train/{number}.png", number)
        write_image(tmp_path / f"split/test/{number}.png", 100 + number)
    write_image(tmp_path / "one.jpg", 1)
    return tmp_path


@pytest.mark.parametrize("command", ["init", "check"])
@pytest.mark.parametrize(
    ("given", "found", "advice"),
    [
        ("gone", "does not exist", "one folder of images per class"),
        ("photos.tar.gz", "is an archive", "unpack"),
        ("download", "is an archive", "unpack"),
        ("labels.tsv", "is a table", "save it as CSV"),
        ("mine.yaml", "a recipe", "surgeon run"),
        ("one.jpg", "is a single image", "surgeon predict"),
        ("empty", "it is empty", "one folder of images per class"),
        ("packed", "archives such as a.zip", "unpack"),
        ("flat", "3 unlabelled, such as 0.png", "CSV"),
        ("split", "its folders are splits", "splits: false"),
        ("outer", "only one class, 'inner'", "outer/inner"),
        ("ppm", "does not read", "a/0.ppm"),
    ],
)
def test_what_is_no_folder_of_class_folders_is_named(
    command: str, given: str, found: str, advice: str, surgeon: Surgeon, misplaced: Path
) -> None:
    if command == "check" and not (misplaced / given).is_dir():
        pytest.skip("check takes recipes, too")
    options = ["--out", misplaced / "out.yaml"] if command == "init" else []
    done = surgeon(command, misplaced / given, *options)
    said = " ".join(done.err.split())
    assert done.code == (2 if given == "gone" else 1)
    assert found in said
    assert advice in said


def test_a_quick_recipe_runs_within_its_time(
    surgeon: Surgeon, tmp_path: Path, write_image: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best recipe of a ladder whose forecast is short enough; if none is, the last one, which is said."""
    photos = fill(tmp_path / "photos", 3, 20, write_image)
    assert surgeon("init", photos, "--out", tmp_path / "all.yaml").code == 0
    drafted = {}
    for seconds in (1e9, 1e-9):
        monkeypatch.setattr("surgeon.planning.quick._FORECAST", seconds)
        recipe = tmp_path / f"{seconds}.yaml"
        made = surgeon("init", photos, "--quick", "--out", recipe)
        assert made.code == 0, made.err
        drafted[seconds] = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        assert ("may take more than" in made.out) == (seconds < 1)
    expected = yaml.safe_load((tmp_path / "all.yaml").read_text(encoding="utf-8"))
    assert drafted[1e9]["phases"] == expected["phases"]
    assert drafted[1e-9]["phases"][0]["trainable"] == "head"
    assert surgeon("init", photos, "--quick", "--measure", "1min", "--out", tmp_path / "x.yaml").code == 2


@pytest.mark.parametrize("command", ["run", "validate", "plan"])
def test_a_folder_where_a_recipe_was_expected_is_named(command: str, surgeon: Surgeon, misplaced: Path) -> None:
    done = surgeon(command, misplaced / "photos")
    said = " ".join((done.out + done.err).split())
    assert done.code == 2
    assert "it is a folder" in said
    assert f"`surgeon init {misplaced / 'photos'}`" in said
