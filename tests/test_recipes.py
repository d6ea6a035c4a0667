"""The recipes in ``recipes/valid`` and ``recipes/invalid``; a file dropped there is a test.

An invalid recipe ``x.yaml`` has its diagnostics in ``x.expected``. ``python tests/test_recipes.py`` writes those
files anew; read the difference as a user would: where is it, what was found, what was expected, what to do next?
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from surgeon.recipe.compiler import compile_recipe, validate_recipe
from surgeon.recipe.complete import shorten
from surgeon.recipe.text import dump_text

RECIPES = Path(__file__).parent / "recipes"
VALID = sorted(file.name for file in (RECIPES / "valid").glob("*.yaml"))
INVALID = sorted(file.name for file in (RECIPES / "invalid").glob("*.yaml"))


def diagnose(name: str) -> str:
    """Returns what a user reads who is in the folder of the invalid recipes, less the path to that folder."""
    lines = (f"{diagnostic}\n" for diagnostic in validate_recipe(Path(name)))
    inside = "".join(lines).replace(f"{Path.cwd()}{os.sep}", "")
    return inside.replace(f"{Path.cwd().parent}{os.sep}", f"..{os.sep}")


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_recipe_gets_the_expected_diagnostics(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RECIPES / "invalid")
    expected = Path(name).with_suffix(".expected").read_text(encoding="utf-8")
    assert expected
    assert diagnose(name) == expected


@pytest.mark.parametrize("name", INVALID)
def test_diagnostics_are_located_coded_and_in_order(name: str) -> None:
    path = RECIPES / "invalid" / name
    diagnostics = validate_recipe(path)
    assert len(set(diagnostics)) == len(diagnostics)
    own = [(found.location.line, found.location.column) for found in diagnostics if found.location.file == str(path)]
    assert own == sorted(own)
    for diagnostic in diagnostics:
        assert diagnostic.code.replace("-", "").isalpha()
        assert diagnostic.code.islower()
        assert Path(diagnostic.location.file).is_file()


@pytest.mark.parametrize("name", VALID)
def test_a_valid_recipe_has_no_diagnostics(name: str) -> None:
    assert validate_recipe(RECIPES / "valid" / name) == ()


@pytest.mark.parametrize("name", VALID)
def test_the_short_form_of_a_resolved_recipe_means_the_same(name: str, tmp_path: Path) -> None:
    resolved = compile_recipe(RECIPES / "valid" / name).recipe
    short = tmp_path / "short.yaml"
    short.write_text(dump_text(shorten(resolved)), encoding="utf-8")
    assert compile_recipe(short).recipe == resolved
    assert len(dump_text(shorten(resolved))) <= len(dump_text(resolved))
    assert shorten(compile_recipe(short).recipe) == shorten(resolved)


@pytest.mark.parametrize("name", VALID)
def test_the_resolved_recipe_compiles_to_the_same_plan(name: str, tmp_path: Path) -> None:
    plan = compile_recipe(RECIPES / "valid" / name)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_text(plan.recipe), encoding="utf-8")
    again = compile_recipe(resolved)
    assert replace(again, origins={}) == replace(plan, origins={})
    assert "default" not in again.origins.values()


def test_the_folders_are_found_and_each_expectation_has_its_recipe() -> None:
    assert len(VALID) >= 15
    assert len(INVALID) >= 50
    expectations = {file.stem for file in (RECIPES / "invalid").glob("*.expected")}
    assert expectations == {Path(name).stem for name in INVALID}


def test_shorthands_and_long_forms_mean_the_same() -> None:
    short, long = (compile_recipe(RECIPES / "valid" / f"{form}hands.yaml") for form in ("short", "long"))
    assert replace(short, origins={}) == replace(long, origins={})


def test_selectors() -> None:
    plan = compile_recipe(RECIPES / "valid/selectors.yaml")
    head = ("head_dense", "head_dense_2")
    conv1, conv2, conv3 = block5 = ("block5_conv1", "block5_conv2", "block5_conv3")
    backbone = tuple(row.name for row in plan.network.backbone if "conv" in row.name)
    assert {phase.name: phase.trainable for phase in plan.phases} == {
        "head": head,
        "backbone": backbone,
        "all": (*backbone, *head),
        "index": (conv1,),
        "quoted index": (conv1,),
        "name": (conv1,),
        "name in the head": ("head_dense_2",),
        "range of indices": block5,
        "range of names": block5,
        "mixed range": (*block5, "head_dense"),
        "open end": (*block5, *head),
        "open name": (*block5, *head),
        "open start": tuple(name for name in backbone if name < "block4"),
        "glob": block5,
        "leading glob": tuple(f"block{number}_conv1" for number in range(1, 6)),
        "classes of characters": ("block4_conv1", "block4_conv2", "block4_conv3", *block5),
        "list": ("block1_conv1", "block3_conv2", "block4_conv1", "block4_conv2", "block4_conv3", *block5, *head),
        "written below each other": (conv3, *head),
    }
    assert conv2 in block5


def test_extends_merges_replaces_and_removes() -> None:
    plan = compile_recipe(RECIPES / "valid/extends_choice.yaml")
    assert plan.name == "extends_choice"  # the base's name is removed
    assert plan.description == ""
    assert plan.seed == 7
    assert (plan.data.source.name, plan.data.source.parameters["split_column"]) == ("csv", "split")
    assert (plan.data.split.test, plan.data.split.validation, plan.data.split.seed) == (0.25, 0.0, 4)
    assert [augmentation.name for augmentation in plan.augment] == ["rotation", "contrast"]
    assert [phase.name for phase in plan.phases] == ["phase 1"]
    assert plan.expected == {"accuracy": {"mean": 0.9}, "weighted_f1": {"mean": 0.91}}
    origins = {path: origin.replace(f"{RECIPES / 'valid'}{os.sep}", "") for path, origin in plan.origins.items()}
    assert origins["data.batch_size"] == "extends_merge.yaml:7:3"
    assert origins["data.split.test"] == "everything.yaml:12:5"
    assert origins["data.split.validation"] == "default"
    assert origins["data.source.csv.path"] == "extends_choice.yaml:4:18"
    assert origins["data.source.csv.label_column"] == "default"


@pytest.mark.parametrize(
    ("name", "from_logits"), [("minimal", False), ("logits", True), ("logits_explicit", True), ("shorthands", False)]
)
def test_the_loss_follows_the_end_of_the_head(name: str, from_logits: bool) -> None:
    assert compile_recipe(RECIPES / f"valid/{name}.yaml").loss_from_logits is from_logits


@pytest.mark.parametrize(
    ("name", "cut", "image_size", "classes"),
    [
        ("cut_by_index", "block4_pool", (64, 64), 10),
        ("cut_by_name", "block4_pool", (64, 64), 10),
        ("selectors", "block5_pool", (224, 224), 10),
        ("rectangle", "block5_pool", (96, 64), 10),
        ("extends_shorthand", "block5_pool", (64, 64), 17),
        ("csv", "block5_pool", (64, 64), 2),
        ("csv_columns", "block5_pool", (64, 64), 3),
        ("folder_with_splits", "top_activation", (224, 224), 2),
    ],
)
def test_cut_size_and_classes(name: str, cut: str, image_size: tuple[int, int], classes: int) -> None:
    plan = compile_recipe(RECIPES / f"valid/{name}.yaml")
    assert (plan.backbone.cut, plan.data.image_size, len(plan.classes)) == (cut, image_size, classes)
    assert plan.network.rows[-1].shape == (classes,)


if __name__ == "__main__":
    os.chdir(RECIPES / "invalid")
    for recipe in INVALID:
        Path(recipe).with_suffix(".expected").write_text(diagnose(recipe), encoding="utf-8")
