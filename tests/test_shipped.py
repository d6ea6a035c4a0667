"""The recipes that come with the package, and the package as it is installed."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_of_the_package_is_well_and_names_its_command(surgeon: Surgeon, recipe: Path) -> None:
    assert surgeon("validate", recipe).code == 0
    assert f"# surgeon run recipes/{recipe.name}" in recipe.read_text(encoding="utf-8")


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
