"""A finished run needs its folder and nothing else, whatever became of its photographs and whoever wrote it."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, write_tiny

import surgeon as library
from surgeon.errors import SurgeonError
from surgeon.recipe.bundle import read_bundle
from surgeon.recipe.compiler import compile_recipe
from surgeon.runs.checkpoint import read_checkpoint
from surgeon.runs.folder import read_result
from surgeon.runs.lock import read_lock
from surgeon.runs.pictures import read_pictures
from surgeon.runs.plan_file import read_plan, write_plan

Surgeon = Callable[..., Any]
FORMER = Path(__file__).parent / "data" / "runs" / "0.1.0"


@pytest.fixture(scope="module")
def abandoned(tmp_path_factory: pytest.TempPathFactory, photos: Path, small_network: Path) -> Path:
    """A finished run in another folder than it was made in; its photographs, recipe and backbone are gone."""
    root = tmp_path_factory.mktemp("before")
    shutil.copytree(photos, root / "photos")
    backbone = shutil.copy(small_network, root / "small.keras")
    assert (
        call("run", write_tiny(root / "tiny.yaml", root / "photos", Path(backbone)), "--out", root / "run", "-q") == 0
    )
    moved = tmp_path_factory.mktemp("after") / "kept"
    shutil.move(root / "run", moved)
    shutil.rmtree(root)
    return moved


@pytest.fixture(params=["of today", "of a former release"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = request.getfixturevalue("abandoned") if request.param == "of today" else FORMER
    return Path(shutil.copytree(folder, tmp_path / "moved" / "run"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another current folder, and an empty cache."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return here


def commands(run: Path, other: Path, photos: Path) -> dict[str, tuple[object, ...]]:
    image = photos / "along" / "1.png"
    return {
        "report": ("report", run),
        "card": ("card", run),
        "compare": ("compare", run, other, "--out", "compare.html"),
        "predict": ("predict", run, image),
        "evaluate": ("evaluate", run, photos),
        "explain": ("explain", run, image),
        "diff": ("diff", run, other),
    }


def test_every_command_works_on_the_folder_alone(surgeon: Surgeon, run: Path, elsewhere: Path, photos: Path) -> None:
    other = shutil.copytree(run, elsewhere / "other")
    for name, arguments in commands(run, other, photos).items():
        done = surgeon(*arguments)
        assert done.code == 0, (name, done.err)
    assert (run / "README.md").read_text(encoding="utf-8").count("along")
    assert (elsewhere / "compare.html").stat().st_size > 10_000


def test_an_export_works_on_the_folder_alone(surgeon: Surgeon, run: Path, elsewhere: Path, photos: Path) -> None:
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    done = surgeon("export", run, "--to", "onnx", "--format", "json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["largest_difference"] < 1e-3
    # A former run keeps no images, and then there is nothing to be right about.
    assert (found["split"], found["accuracy"] is None) in {("test", False), ("synthetic", True)}
    image = photos / "along" / "1.png"
    answers = [
        json.loads(surgeon("predict", folder, image, "--format", "jsonl").out) for folder in (run, found["folder"])
    ]
    assert answers[0]["classes"] == answers[1]["classes"]
    np.testing.assert_allclose(answers[0]["probabilities"], answers[1]["probabilities"], atol=1e-4)


def test_the_page_shows_the_images_that_the_run_keeps(surgeon: Surgeon, abandoned: Path, elsewhere: Path) -> None:
    run = Path(shutil.copytree(abandoned, elsewhere / "run"))
    before = len(re.findall("<figure", (run / "report.html").read_text(encoding="utf-8")))
    assert surgeon("report", run).code == 0
    assert len(re.findall("<figure", (run / "report.html").read_text(encoding="utf-8"))) == before > 5


@pytest.mark.slow
def test_a_new_class_of_photographs_changes_nothing(surgeon: Surgeon, photos: Path, tmp_path: Path) -> None:
    """The photographs are there, and one more folder of them, first in the alphabet."""
    mine = shutil.copytree(photos, tmp_path / "photos")
    assert surgeon("run", write_tiny(tmp_path / "tiny.yaml", mine), "--out", tmp_path / "run", "-q").code == 0
    shutil.copytree(mine / "along", mine / "aardvark")
    run = library.open_run(tmp_path / "run")
    assert run.plan.classes == run.classes == ("across", "along")
    done = surgeon("export", run.folder, "--to", "keras", "--format", "json")
    assert (done.code, json.loads(done.out)["changed_decisions"]) == (0, 0)
    assert json.loads(done.out)["accuracy"] == json.loads(done.out)["accuracy_before"] == run.result.evaluation.accuracy
    assert surgeon("report", run.folder).code == 0


READERS: dict[str, Callable[[Path], object]] = {
    "plan.json": read_plan,
    "result.json": read_result,
    "lock.json": read_lock,
    "pictures.zip": read_pictures,
}


def put_version(path: Path, version: int) -> None:
    """Writes a file again as one of another version."""
    if path.suffix == ".json":
        record = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**record, "version": version}), encoding="utf-8")
        return
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["index.json"] = json.dumps({**json.loads(content["index.json"]), "version": version}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, value)


@pytest.mark.parametrize("name", READERS)
def test_a_file_of_a_newer_version_is_refused_in_words(abandoned: Path, tmp_path: Path, name: str) -> None:
    run = Path(shutil.copytree(abandoned, tmp_path / "run"))
    put_version(run / name, 99)
    with pytest.raises(SurgeonError, match=rf"{re.escape(name)} has format version 99") as found:
        READERS[name](run)
    assert found.value.hint == "update surgeon"


def test_a_bundle_of_a_newer_version_is_refused_in_words(abandoned: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(abandoned, tmp_path / "run"))
    record = json.loads((run / "bundle.json").read_text(encoding="utf-8"))
    (run / "bundle.json").write_text(json.dumps({**record, "bundle": 99}), encoding="utf-8")
    with pytest.raises(SurgeonError, match="reads versions up to"):
        read_bundle(run)


def test_the_plan_of_a_former_run_is_that_of_its_recipe() -> None:
    plan = read_plan(FORMER)
    assert plan.classes == ("across", "along")
    assert [phase.trainable for phase in plan.phases] == [("head_dense",), ("first", "second", "head_dense")]
    assert plan.network.cut_row.name == "second"
    assert read_checkpoint(FORMER) is None
    assert library.open_run(FORMER).history["epoch"] == [1, 2, 1, 2, 3]


@pytest.mark.parametrize(
    "overrides", [[], ["augment={views: 2, zoom: 0.1}", "features=off", "data.image_size=[32, 40]"]]
)
def test_what_is_read_is_what_was_planned(tiny: Path, tmp_path: Path, overrides: list[str]) -> None:
    plan = compile_recipe(tiny, overrides)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


def test_a_plan_that_was_written_before_there_was_a_key_has_its_default(tiny: Path, tmp_path: Path) -> None:
    plan = compile_recipe(tiny, ["phases[0].until={monitor: loss}"])
    write_plan(tmp_path, plan)
    record = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    first, *_ = record["plan"]["phases"]
    for former, key in (
        (record["plan"], "deterministic"),
        (record["plan"]["data"], "on_leak"),
        (first, "class_weight"),
        (first, "loss"),
        (first["until"], "restore_best"),
    ):
        del former[key]
    (tmp_path / "plan.json").write_text(json.dumps(record), encoding="utf-8")
    assert read_plan(tmp_path) == plan


def test_a_plan_from_before_there_were_groups_has_none(tiny: Path, tmp_path: Path) -> None:
    plan = compile_recipe(tiny)
    write_plan(tmp_path, plan)
    record = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    del record["plan"]["data"]["split"]["group"]
    (tmp_path / "plan.json").write_text(json.dumps(record), encoding="utf-8")
    former = read_plan(tmp_path)
    assert (plan.data.split.group.name, former.data.split.group.name) == ("near_copies", "none")
    compiled = compile_recipe(tiny, ["data.split.group=none"])
    assert former.data == compiled.data


def test_the_plan_of_a_run_needs_no_backbone(abandoned: Path) -> None:
    plan = read_plan(abandoned)
    assert plan.recipe["name"] == "tiny"
    assert [row.name for row in plan.network.rows][-1] == "head_dense"
    assert plan.backbone.model is not None
    assert not plan.backbone.model.exists()
