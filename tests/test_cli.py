"""The commands as a user calls them."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import slow_but
from PIL import Image

from surgeon.catalogue.kinds import LISTED, listing_command

RECIPES = Path(__file__).parent.parent / "recipes"
Surgeon = Callable[..., Any]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_run_leaves_everything(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "a run"
    done = surgeon("run", tiny, "--out", out, "--set", "evaluate.linear_probe=true")
    assert done.code == 0, done.err
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock",
        "bundle.json",
        "confusion.png",
        "curves.png",
        "events.jsonl",
        "history.csv",
        "lock.json",
        "model.keras",
        "network.keras",
        "pictures.zip",
        "plan.json",
        "predictions.csv",
        "recipe.yaml",
        "report.html",
        "result.json",
        "splits.csv",
    ]
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["name"] == "tiny"
    assert [(phase["name"], phase["epochs"]) for phase in result["phases"]] == [("warm-up", 2), ("fine-tune", 1)]
    assert result["evaluation"]["split"] == "test"
    assert result["evaluation"]["classes"] == ["across", "along"]
    assert [measures["support"] for measures in result["evaluation"]["per_class"]] == [3, 3]
    assert 0 <= result["linear_probe"]["accuracy"] <= 1
    assert {"python", "tensorflow", "keras"} <= result["versions"].keys()
    rows = read_csv(out / "splits.csv")
    assert len(rows) == 24
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    predictions = read_csv(out / "predictions.csv")
    assert {row["file"] for row in predictions} == {row["file"] for row in rows if row["split"] == "test"}
    right = sum(row["label"] == row["predicted"] for row in predictions)
    assert right / len(predictions) == result["evaluation"]["accuracy"]
    for row in predictions:
        assert float(row["across"]) + float(row["along"]) == pytest.approx(1, abs=1e-5)
    history = read_csv(out / "history.csv")
    assert [(row["phase"], row["epoch"]) for row in history] == [("warm-up", "1"), ("warm-up", "2"), ("fine-tune", "1")]
    for title in ("precision", "recall", "f1-score", "support", "weighted avg", "linear probe"):
        assert title in done.out
    assert str(out) in done.out.replace("\n", "")


def test_saved_model_gives_the_predictions(trained: Path, photos: Path) -> None:
    import keras

    network = keras.saving.load_model(trained / "model.keras")
    for row in read_csv(trained / "predictions.csv"):
        with Image.open(photos / row["file"]) as image:
            pixels = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR), np.float32)
        found = network(pixels[None]).numpy()[0]
        np.testing.assert_allclose(found, [float(row["across"]), float(row["along"])], atol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_and_small", "without_pictures")
def test_resolved_recipe_runs_again_to_the_same_end(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert surgeon("run", tiny, "--out", first, "--set", "data.split.seed=5", "-q").code == 0
    assert surgeon("run", first / "recipe.yaml", "--out", second, "-q").code == 0
    for name in ("recipe.yaml", "splits.csv", "predictions.csv"):
        assert (first / name).read_text() == (second / name).read_text()


@pytest.mark.usefixtures("without_pictures")
def test_a_former_run_is_operated_on(surgeon: Surgeon, tiny: Path, trained: Path, tmp_path: Path) -> None:
    backbone = {"model": str(trained), "cut": "block1a_project_bn"}
    override = f"backbone={json.dumps(backbone)}"
    phases = "phases=[{trainable: block1a_dwconv.., lr: 0.01, epochs: 1}]"
    shown = surgeon("layers", tiny, "--set", override, "--set", phases, "--format", "json")
    assert shown.code == 0, shown.err
    layers = json.loads(shown.out)["layers"]
    assert [row["name"] for row in layers if row["phases"]["phase 1"] == "trained"] == [
        "block1a_dwconv",
        "block1a_project_conv",
        "head_dense",
    ]
    done = surgeon("run", tiny, "--set", override, "--set", phases, "--out", tmp_path / "again")
    assert done.code == 0, done.err


def test_out_is_never_overwritten(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine", encoding="utf-8")
    done = surgeon("run", tiny, "--out", mine)
    assert done.code == 2
    assert "is not empty" in done.err
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


@pytest.mark.usefixtures("tiny_and_small", "without_pictures")
def test_run_as_json_is_result_json(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    done = surgeon("run", tiny, "--out", tmp_path / "run", "--format", "json")
    printed = json.loads(done.out)
    assert printed.pop("folder") == str(tmp_path / "run")
    assert printed == json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert done.err == ""


def test_a_bad_recipe_trains_nothing(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    done = surgeon("run", tiny, "--out", tmp_path / "run", "--set", "phases[1].trainable=blok2a_*", "--set", "seed=-1")
    assert done.code == 2
    assert (
        "phases[1].trainable: no layer of efficientnetlite0 matches 'blok2a_*'; did you mean 'block2a_*'?" in done.err
    )
    assert "seed: expected at least 0, found -1" in done.err
    assert not (tmp_path / "run").exists()


def test_validate_tells_all_of_all_files(surgeon: Surgeon, tmp_path: Path) -> None:
    bad = tmp_path / "bad é.yaml"
    bad.write_text("recipe: 2\nphase: []\n", encoding="utf-8")
    done = surgeon("validate", RECIPES / "quickstart.yaml", bad)
    assert done.code == 2
    assert f"{bad}:1:1: recipe: " in done.out
    assert "unknown key 'phase'; did you mean 'phases'?" in done.out
    assert "quickstart.yaml: OK" in done.out
    records = json.loads(surgeon("validate", bad, "--format", "json").out)
    assert {record["code"] for record in records} >= {"unknown-key", "missing-key"}
    assert all(record["location"]["line"] for record in records)
    assert surgeon("validate", RECIPES / "quickstart.yaml").code == 0


def test_a_model_file_that_holds_code_is_refused(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    import keras

    image = keras.Input((32, 32, 3))
    model = tmp_path / "stranger.keras"
    keras.Model(image, keras.layers.Lambda(lambda pixels: pixels * 2)(image)).save(model)
    done = surgeon("validate", tiny, "--set", f"backbone={{model: {model}, cut: 1, preprocessing: none}}")
    assert done.code == 2
    assert "code of a file is never run" in done.out


def test_plan_names_every_host(surgeon: Surgeon, tiny: Path) -> None:
    keras = ("--set", "backbone={name: vgg16}", "--set", "phases=[{trainable: head, lr: 0.1, epochs: 1}]")
    plan = json.loads(surgeon("plan", tiny, *keras, "--format", "json").out)
    assert [url.split("/")[2] for url in plan["downloads"]] == ["storage.googleapis.com"]
    own = json.loads(surgeon("plan", tiny, "--set", "backbone.weights=imagenet", "--format", "json").out)
    assert own["downloads"] == []


def test_layers_of_a_backbone(surgeon: Surgeon) -> None:
    shown = json.loads(surgeon("layers", "vgg16", "--format", "json").out)
    assert [row["index"] for row in shown["layers"]] == list(range(23))
    assert [row["name"] for row in shown["layers"] if row["kind"] == "Dense"] == ["fc1", "fc2", "predictions"]
    assert [row["index"] for row in shown["layers"] if row["kind"] == "Dense"] == [20, 21, 22]
    assert shown["default_cut"] == 18
    text = surgeon("layers", "vgg16").out
    assert "138,357,544" not in text  # a row a layer, no sums of what is cut off
    assert "The top begins at 19 (flatten); the default cut is after layer 18 (block5_pool)." in " ".join(text.split())
    unknown = surgeon("layers", "vgg166")
    assert unknown.code == 2
    assert "did you mean 'vgg16'?" in unknown.err


def test_layers_of_a_recipe(surgeon: Surgeon) -> None:
    shown = json.loads(surgeon("layers", RECIPES / "vgg16_flowers17.yaml", "--format", "json").out)
    states = {row["name"]: row["phases"] for row in shown["layers"]}
    assert states["head_dense"] == {"warm-up": "trained", "fine-tune": "trained"}
    assert states["block5_conv1"] == {"warm-up": "frozen", "fine-tune": "trained"}
    assert states["block4_conv3"] == {"warm-up": "frozen", "fine-tune": "frozen"}
    assert [row["index"] for row in shown["layers"]] == list(range(23))
    text = surgeon("layers", RECIPES / "vgg16_flowers17.yaml").out
    assert "head_dense_2" in text
    assert "trained" in text


@pytest.mark.parametrize("kind", LISTED)
def test_catalogue_is_listed(kind: str, surgeon: Surgeon) -> None:
    listed = json.loads(surgeon(listing_command(kind), "--format", "json").out)
    assert [entry["name"] for entry in listed] == list(LISTED[kind])
    text = surgeon(listing_command(kind)).out
    for name, entry in LISTED[kind].items():
        assert name in text
        one = surgeon(listing_command(kind), name)
        assert all(parameter in one.out for parameter in entry.parameters)
    unknown = surgeon(listing_command(kind), "no such thing")
    assert unknown.code == 2


@pytest.mark.slow
def test_init_writes_a_recipe_that_runs(
    surgeon: Surgeon, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = surgeon("init", photos)
    assert done.code == 0, done.err
    recipe = tmp_path / f"{photos.name}.yaml"
    assert surgeon("validate", recipe).code == 0
    assert yaml.safe_load(recipe.read_text(encoding="utf-8"))["name"] == photos.name
    fast = ["--set", "phases[0].epochs=1", "--set", "phases[0].lr=0.001", "--set", "data.image_size=32", "-q"]
    ran = surgeon("run", recipe, *fast)
    assert ran.code == 0, ran.err
    assert len(list((tmp_path / "runs").glob(f"{photos.name}-*/result.json"))) == 1
    again = surgeon("init", photos)
    assert again.code == 2
    assert "exists" in again.err


def test_module_and_version() -> None:
    done = subprocess.run([sys.executable, "-m", "surgeon", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("surgeon 0.")


def sixteen_bit_png(pixels: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint16) * 257).save(encoded, "PNG")
    return encoded.getvalue()


@pytest.mark.usefixtures("tiny_and_small", "without_pictures")
def test_images_as_they_come(surgeon: Surgeon, tiny: Path, photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "ünordered photos"
    for label in ("across", "along"):
        (root / label).mkdir(parents=True)
        for file in sorted((photos / label).iterdir()):
            with Image.open(file) as image:
                number, rgb = int(file.stem), image.convert("RGB")
            target = root / label / file.name
            if number == 0:
                rgb.save(target, "WEBP")
            elif number == 1:
                rgb.convert("CMYK").save(target.with_suffix(".jpg"), "JPEG")
            elif number == 2:
                exif = Image.Exif()
                exif[0x0112] = 6
                rgb.transpose(Image.Transpose.ROTATE_90).save(target.with_suffix(".jpeg"), "JPEG", exif=exif)
            elif number == 3:
                target.write_bytes(sixteen_bit_png(np.asarray(rgb.convert("L"))))
            elif number == 4:
                rgb.save(target.with_suffix(".gif"), save_all=True, append_images=[rgb.rotate(90)] * 2)
            else:
                rgb.save(target)
    (root / "across" / ".hidden.png").write_bytes(b"not looked at")
    (root / "across" / "notes.txt").write_text("nor this")
    whole = (root / "along" / "5.png").read_bytes()
    (root / "along" / "cut short.png").write_bytes(whole[: len(whole) // 2])
    (root / "along" / "empty.jpg").write_bytes(b"")
    overrides = ["--set", f"data.source.folder.path='{root}'", "--set", "phases[1].epochs=1"]

    failed = surgeon("run", tiny, *overrides, "--out", tmp_path / "failed")
    assert failed.code == 1
    assert "along/cut short.png" in failed.err
    assert "along/empty.jpg" in failed.err
    assert "on_bad_image: skip" in failed.err
    assert "Traceback" not in failed.err

    done = surgeon("run", tiny, *overrides, "--set", "data.on_bad_image=skip", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert set(result["bad_images"]) == {"along/cut short.png", "along/empty.jpg"}
    assert result["ignored"] == 2
    assert sum(result["images"].values()) == 24
    assert "skipped along/empty.jpg" in done.err


def broken_weights(path: Path) -> None:
    path.write_bytes(struct.pack("8s", b"\x89HDF\r\n\x1a\n") + bytes(64))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["backbone.weights=WEIGHTS"], "cannot load the weights"),
        (["data.split.validation=0", "phases[0].until={monitor: val_loss}"], "needs validation images"),
    ],
)
def test_errors_before_training_are_no_tracebacks(
    overrides: list[str], expected: str, surgeon: Surgeon, tiny: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "broken.weights.h5"
    broken_weights(weights)
    options = [part for override in overrides for part in ("--set", override.replace("WEIGHTS", str(weights)))]
    done = surgeon("run", tiny, *options, "--out", tmp_path / "run")
    assert done.code in (1, 2)
    assert re.search(expected, done.err), done.err
    assert "Traceback" not in done.err


def test_weights_of_another_network_name_layer_and_shape(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    import keras

    weights = tmp_path / "other.weights.h5"
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.Conv2D(4, 3)(image)).save_weights(weights)
    done = surgeon("run", tiny, "--set", f"backbone.weights={weights}", "--out", tmp_path / "run")
    assert done.code == 1
    assert "efficientnetlite0" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("typed", [("-h",), ("run", "-h"), ("cache", "clear", "-h")])
def test_help_has_a_short_name(surgeon: Surgeon, typed: Sequence[str]) -> None:
    outcome = surgeon(*typed)
    assert (outcome.code, "Usage:" in outcome.out) == (0, True)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (("train", "photos"), "`surgeon run RECIPE` trains"),
        (("run", "recipe.yaml", "--epochs", "5"), "--set 'phases[0].epochs=5'"),
        (("frobnicate",), "surgeon --help`"),
        (("models",), "surgeon backbones"),
    ],
)
def test_what_other_tools_call_it_is_answered(surgeon: Surgeon, typed: Sequence[str], hint: str) -> None:
    outcome = surgeon(*typed)
    assert outcome.code == 2
    assert hint in " ".join(outcome.err.split())


SOURCES_TRAINED = slow_but({"folder", "csv"}, ["folder", "split folder", "csv", "digits"])
SOURCES_TRAINED += [pytest.param("flowers17", marks=[pytest.mark.slow, pytest.mark.mirror])]


@pytest.mark.usefixtures("tiny_and_small", "without_pictures")
@pytest.mark.parametrize("source", SOURCES_TRAINED)
def test_every_source_trains(
    source: str, surgeon: Surgeon, tiny: Path, photos: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    images = sorted(photos.rglob("*.png"))
    chosen = {"folder": {"folder": str(photos)}, "digits": "digits", "flowers17": "flowers17"}.get(source)
    if source == "split folder":
        for at, image in enumerate(images):
            split = ("train", "train", "train", "validation", "test")[at % 5]
            target = tmp_path / "splits" / split / image.parent.name / image.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(image.read_bytes())
        chosen = {"folder": str(tmp_path / "splits")}
    elif source == "csv":
        rows = "".join(f"{image},{image.parent.name}\n" for image in images)
        (tmp_path / "images.csv").write_text(f"file,kind\n{rows}", encoding="utf-8")
        chosen = {"csv": {"path": "images.csv", "image_column": "file", "label_column": "kind"}}
        tiny.write_text(tiny.read_text(encoding="utf-8").replace(f"{{folder: '{photos}'}}", json.dumps(chosen)))
    elif source == "flowers17":
        request.getfixturevalue("mirror")
    set_source = [] if source == "csv" else ["--set", f"data.source={json.dumps(chosen)}"]
    phase = ["--set", "phases=[{trainable: head, lr: 0.01, epochs: 1}]", "--set", "data.batch_size=64"]
    done = surgeon("run", tiny, *set_source, *phase, "--out", tmp_path / "run", "-q")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["phases"][0]["epochs"] == 1
    assert set(result["images"]) == {"train", "validation", "test"}


@pytest.mark.parametrize("command", ["run", "init", "recipes"])
def test_an_output_that_cannot_be_written_is_no_traceback(
    command: str, surgeon: Surgeon, tiny: Path, photos: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "a file" / "below it"
    blocked.parent.touch()
    arguments = {
        "run": ["run", tiny, "--out", blocked],
        "init": ["init", photos, "--out", blocked],
        "recipes": ["recipes", "copy", "quickstart", blocked],
    }
    done = surgeon(*arguments[command])
    assert done.code in (1, 2)
    assert done.err.startswith("error: ")
    assert "a file" in done.err


def test_interrupted_before_the_first_epoch(
    surgeon: Surgeon, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("surgeon.training.runner.run", interrupted)
    done = surgeon("run", tiny, "--out", tmp_path / "run")
    assert done.code == 130
    assert done.err.startswith(f"error: interrupted\nhint: continue with `surgeon resume {tmp_path}/run`")
