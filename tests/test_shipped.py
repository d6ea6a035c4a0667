"""The recipes that come with the package, and the package as it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_report import check_page

RECIPES = Path(__file__).parent.parent / "recipes"
Surgeon = Callable[..., Any]


SHIPPED = sorted(RECIPES.glob("*.yaml"))
# What the user fetches by the command in a recipe, next to which it belongs: files of two classes, with a number each.
_LEAVES = "lara2018/classification/dataset/symptom"
CLONED = {
    "efficientnetlite0_pollen": ["PollenDataset/Dataset/NP{}-15r.jpg", "PollenDataset/Dataset/P{}-103r.jpg"],
    "efficientnetlite0_coffee_leaves": [
        f"{_LEAVES}/{split}/{label}/{{}}.jpg" for split in ("train", "val", "test") for label in ("1_health", "2_miner")
    ],
    "efficientnetlite0_groceries": [
        f"GroceryStoreDataset/dataset/{split}/Fruit/{label}/{label}_{{}}.jpg"
        for split in ("train", "val", "test")
        for label in ("Kiwi", "Lime")
    ],
    "efficientnetlite0_blood_cells": ["segmentation_WBC/Dataset 1/{:03}.bmp"],
}


def clone(recipe: Path, image: Path) -> None:
    """Lays out what the recipe says to fetch, the same image under all names."""
    for name in CLONED.get(recipe.stem, []):
        for number in range(1, 101):
            file = recipe.parent / name.format(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, file)
    if recipe.stem == "efficientnetlite0_blood_cells":
        folder = recipe.parent / "segmentation_WBC"
        rows = "".join(f"{number},{number % 5 + 1}\n" for number in range(1, 101))
        (folder / "Class Labels of Dataset 1.csv").write_text(f"image ID,class label\n{rows}", encoding="utf-8")
        (command,) = re.findall(r"^#     (awk .+)\\\n# +(.+)", recipe.read_text(encoding="utf-8"), re.MULTILINE)
        subprocess.run("".join(command), shell=True, cwd=folder, check=True)


@pytest.mark.parametrize("shipped", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_of_the_package_is_well_and_names_its_commands(
    surgeon: Surgeon, shipped: Path, tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    recipe = Path(shutil.copy(shipped, tmp_path))
    text = shipped.read_text(encoding="utf-8")
    if "git clone" in text:
        assert surgeon("validate", recipe).code == 2
        clone(recipe, write_image(tmp_path / "image.png", 0))
    assert surgeon("validate", recipe).code == 0
    assert f"# surgeon run recipes/{recipe.name}" in text


def test_recipes_are_listed_shown_and_copied(surgeon: Surgeon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = json.loads(surgeon("recipes", "list", "--format", "json").out)
    assert set(listed) == {path.stem for path in RECIPES.glob("*.yaml")}
    assert surgeon("recipes", "show", "quickstart").out == (RECIPES / "quickstart.yaml").read_text()
    monkeypatch.chdir(tmp_path)
    assert surgeon("recipes", "copy", "quickstart").code == 0
    schema, command, *rest = (tmp_path / "quickstart.yaml").read_text().splitlines()
    assert rest == (RECIPES / "quickstart.yaml").read_text().splitlines()[2:]
    with urllib.request.urlopen(schema.partition("$schema=")[2]) as answer:
        assert json.loads(answer.read())["title"]
    assert command == "# surgeon run quickstart.yaml"
    assert surgeon("recipes", "copy", "quickstart").code == 2
    assert "did you mean 'quickstart'?" in surgeon("recipes", "show", "quikstart").err


@pytest.mark.slow
@pytest.mark.mirror
def test_flowers_are_learned_from_real_weights(surgeon: Surgeon, mirror: Path, tmp_path: Path) -> None:
    """The story's network, smaller and shorter; far above chance only with the right weights and preprocessing.

    All 340 test images are on its page.
    """
    # In float32, since where the processor has no bfloat16 it takes many times as long.
    short = ["data.image_size=96", "augment={}", "phases[0].epochs=4", "phases[1].epochs=1", "precision=float32"]
    options = [part for override in short for part in ("--set", override)]
    done = surgeon("run", RECIPES / "vgg16_flowers17.yaml", *options, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["evaluation"]["accuracy"] > 0.6
    check_page(tmp_path / "run" / "report.html", images=340)


@pytest.mark.slow
def test_quickstart_reaches_what_it_promises(surgeon: Surgeon, tmp_path: Path) -> None:
    recipe = RECIPES / "quickstart.yaml"
    done = surgeon("run", recipe, "--out", tmp_path / "run", "--format", "json")
    assert done.code == 0, done.err
    expected = yaml.safe_load(recipe.read_text(encoding="utf-8"))["expected"]
    assert json.loads(done.out)["evaluation"]["accuracy"] == pytest.approx(expected["accuracy"]["mean"], abs=0.02)


@pytest.mark.slow
def test_installed_wheel_works_from_another_folder(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, root], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True)

    def installed(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "surgeon", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert "quickstart" in installed("recipes", "list")
    assert "block5_pool" in installed("layers", "vgg16")
    installed("recipes", "copy", "quickstart")
    assert "OK" in installed("validate", "quickstart.yaml")
    assert "EfficientNet-Lite0" in (tmp_path / "quickstart.yaml").read_text()
    assert (tmp_path / "site" / "surgeon" / "share" / "schemas" / "recipe.schema.json").exists()
