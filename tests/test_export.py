"""What leaves the project agrees with what was trained, from the bytes of the images on."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import flatbuffers
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import call, slow_but, write_tiny
from flatbuffers.number_types import Float32Flags, Int8Flags
from flatbuffers.table import Table
from PIL import Image
from tensorflow.lite.tools import flatbuffer_utils

from surgeon.catalogue.exporters import EXPORTERS, labels_text
from surgeon.cli.output import unused
from surgeon.data.images import fit_image, load_image
from surgeon.data.orientation import ORIENTATION_TAG
from surgeon.errors import BadImageError
from surgeon.inference import trained as trained_networks
from surgeon.model.engine import Engine
from surgeon.model.inference import for_inference
from surgeon.networks.decoding import decode_images
from surgeon.resizing import Resizing

Surgeon = Callable[..., Any]

# One network of each preprocessing or kind of layers, as far as its first stages: what follows is more of the same.
BACKBONES = {
    "vgg16": "block3_pool",
    "mobilenetv2": "block_3_project_BN",
    "densenet121": "pool2_pool",
    "efficientnetb0": "block3a_project_bn",
    "efficientnetlite0": "block3a_project_bn",
}


def encoded_images() -> dict[str, bytes]:
    """One picture in every form that files have."""
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (7, 9, 3), np.uint8)).resize((90, 70))
    transparent = Image.fromarray(np.dstack([np.asarray(picture), random.integers(0, 256, (70, 90), np.uint8)]))
    forms = {
        "png": (picture, "PNG", {}),
        "transparent": (transparent, "PNG", {}),
        "palette": (picture.convert("P"), "PNG", {}),
        "grey png": (picture.convert("L"), "PNG", {}),
        "gif": (picture, "GIF", {}),
        "bmp": (picture, "BMP", {}),
        "grey jpeg": (picture.convert("L"), "JPEG", {}),
        "subsampled": (picture, "JPEG", {"subsampling": 2, "quality": 60}),
        "webp": (picture, "WEBP", {"quality": 60}),
        "transparent webp": (transparent, "WEBP", {"quality": 60}),
        "lossless webp": (picture, "WEBP", {"lossless": True}),
        "lossless transparent webp": (transparent, "WEBP", {"lossless": True}),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = orientation
        for form in ("JPEG", "WEBP"):
            forms[f"{form}, orientation {orientation}"] = (picture, form, {"exif": exif})
    encoded = {}
    for name, (image, form, options) in forms.items():
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        encoded[name] = buffer.getvalue()
    return encoded


@cache
def decoder() -> Any:
    return tf.function(lambda images: decode_images(images, Resizing((224, 224))), [tf.TensorSpec((None,), tf.string)])


@pytest.mark.slow
def test_a_graph_decodes_as_pillow_does_to_the_bit() -> None:
    images = encoded_images()
    found = decoder()(tf.constant(list(images.values()))).numpy()
    for (name, content), pixels in zip(images.items(), found, strict=True):
        np.testing.assert_array_equal(pixels, load_image(content, Resizing((224, 224))), err_msg=name)


@pytest.mark.slow
@pytest.mark.mirror
def test_a_graph_decodes_photographs_as_pillow_does_to_the_bit(mirror: Path) -> None:
    files = sorted((mirror / "datasets" / "flowers17" / "jpg").glob("*.jpg"))[::170]
    contents = [file.read_bytes() for file in files]
    found = decoder()(tf.constant(contents)).numpy()
    for file, content, pixels in zip(files, contents, found, strict=True):
        np.testing.assert_array_equal(pixels, load_image(content, Resizing((224, 224))), err_msg=file.name)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A finished run whose network tells the pictures apart."""
    root = tmp_path_factory.mktemp("once")
    phase = "phases=[{trainable: all, batch_norm: train, optimizer: adam, lr: 0.01, epochs: 3}]"
    asked = ("--set", phase, "--out", root / "run", "--quiet")
    assert call("run", write_tiny(root / "tiny.yaml", photos), *asked, pictures=False) == 0
    return root / "run"


@pytest.fixture
def run(once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(once, tmp_path / "run"))


def export(surgeon: Surgeon, run: Path, *options: object) -> dict[str, Any]:
    done = surgeon("export", run, *options, "--format", "json")
    assert (done.code, done.err) == (0, ""), done.err  # not a word of converters and runtimes
    return dict(json.loads(done.out))


def require(name: str) -> None:
    for module in EXPORTERS[name].modules:
        pytest.importorskip(module, reason=f"network-surgeon[{name}] is not installed")


@pytest.mark.parametrize("name", slow_but({"keras", "onnx"}, EXPORTERS))
def test_every_format_agrees_and_predicts(surgeon: Surgeon, run: Path, photos: Path, name: str) -> None:
    require(name)
    result = export(surgeon, run, "--to", name)
    assert (result["images"], result["split"], result["changed_decisions"]) == (6, "test", 0)
    assert result["largest_difference"] < 1e-5
    assert result["accuracy"] == result["accuracy_before"]
    assert result["size"] > 10_000
    folder = Path(result["folder"])
    assert (folder / "labels.txt").read_text(encoding="utf-8").split() == ["across", "along"]
    done = surgeon("predict", folder, photos / "along", "--format", "jsonl")
    assert done.err == ""
    lines = done.out.splitlines()
    own = surgeon("predict", run, photos / "along", "--format", "jsonl").out.splitlines()
    for found, expected in zip(map(json.loads, lines), map(json.loads, own), strict=True):
        assert found["classes"] == expected["classes"]
        assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)


@pytest.mark.slow
def test_a_litert_file_tells_its_labels_and_how_pixels_are_scaled(surgeon: Surgeon, run: Path) -> None:
    """Read as the metadata's schema has it: by the numbers of its fields."""
    require("litert")
    model = Path(export(surgeon, run, "--to", "litert")["folder"]) / "model.tflite"
    with zipfile.ZipFile(model) as archive:
        assert archive.read("labels.txt").decode().split() == ["across", "along"]
    opened = flatbuffer_utils.read_model(str(model))
    (entry,) = (entry for entry in opened.metadata if entry.name == b"TFLITE_METADATA")
    content = bytes(opened.buffers[entry.buffer].data)
    assert flatbuffers.util.BufferHasIdentifier(content, 0, b"M001")
    root = Table(content, flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0))
    assert text(root, 0) == "tiny"
    (subgraph,) = tables(root, 3)
    ((image,), (probabilities,)) = (tables(subgraph, field) for field in (2, 3))
    (normalization,) = tables(image, 4)
    options = inner(normalization, 1)
    assert [options.Get(Float32Flags, options.Vector(slot(options, field))) for field in (0, 1)] == [0, 1]
    (labels,) = tables(probabilities, 6)
    assert text(labels, 0) == "labels.txt"
    assert labels.Get(Int8Flags, labels.Pos + slot(labels, 2)) == 2


@pytest.mark.slow
def test_inputs_and_outputs_have_names(surgeon: Surgeon, run: Path) -> None:
    require("litert")
    require("onnx")
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    folder = Path(export(surgeon, run, "--to", "onnx")["folder"])
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    ends = [(end.name, end.shape) for end in (*session.get_inputs(), *session.get_outputs())]
    assert ends == [("pixels", ["batch", 32, 32, 3]), ("probabilities", ["batch", 2])]
    folder = Path(export(surgeon, run, "--to", "litert")["folder"])
    (signature,) = Interpreter(str(folder / "model.tflite")).get_signature_list().values()
    assert signature == {"inputs": ["pixels"], "outputs": ["probabilities"]}


AWKWARD = ("two\nlines", "", "  ", "back\r", "nul\0", "far\u2028apart", "caf\udce9", "plain")


def test_every_class_has_its_line() -> None:
    lines = labels_text(AWKWARD).splitlines()
    assert lines == [r"two\nlines", "''", "'  '", r"back\r", r"nul\x00", r"far\u2028apart", r"caf\xe9", "plain"]


@pytest.fixture
def augmenting(surgeon: Surgeon, photos: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Returns a function that makes a run whose backbone has random layers inside, and computes in a type."""

    def make(dtype: str, *more: Any) -> Path:
        classes = shutil.copytree(photos, tmp_path / "classes")
        (classes / "across").rename(classes / "two\nlines")
        layers = keras.layers
        keras.config.set_dtype_policy(dtype)
        inputs = keras.Input((32, 32, 3))
        turned = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])(inputs)
        scaled = layers.Pipeline([layers.RandomZoom(0.2), layers.Rescaling(1 / 255), layers.RandomContrast(0.2)])(
            turned
        )
        noisy = layers.GaussianNoise(0.1)(layers.Dropout(0.1)(scaled))
        nested = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(4, 3), layers.SpatialDropout2D(0.1)])
        outputs = nested(noisy)
        for layer in more:
            outputs = layer(outputs)
        keras.Model(inputs, layers.Activation("relu", name="last")(outputs)).save(tmp_path / "model.keras")
        keras.config.set_dtype_policy("float32")
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(
            "recipe: 1\n"
            "data: {source: {folder: classes}, split: {test: 0.25, validation: 0}, batch_size: 9}\n"
            "backbone: {model: model.keras, preprocessing: none, cut: last}\n"
            "head: [global_average_pooling, dense: {units: classes}]\n"
            "phases: [{trainable: head, lr: 0.01, epochs: 1}]\n",
            encoding="utf-8",
        )
        done = surgeon("run", recipe, "--out", tmp_path / "run", "-q")
        assert done.code == 0, done.err
        return tmp_path / "run"

    return make


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("dtype", "formats"),
    [
        ("float32", ("keras",)),
        pytest.param("float32", ("savedmodel",), marks=pytest.mark.slow),
        pytest.param("mixed_bfloat16", ("litert", "onnx"), marks=pytest.mark.slow),
        pytest.param("mixed_float16", ("litert", "onnx"), marks=pytest.mark.slow),
    ],
)
def test_random_layers_and_other_types_stay_behind(
    surgeon: Surgeon, augmenting: Callable[[str], Path], dtype: str, formats: Sequence[str]
) -> None:
    run = augmenting(dtype)
    for name in formats:
        require(name)
        result = export(surgeon, run, "--to", name)
        assert result["changed_decisions"] == 0
        folder = Path(result["folder"])
        assert (folder / "labels.txt").read_text(encoding="utf-8").splitlines() == ["along", r"two\nlines"]
        assert json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["classes"] == ["along", "two\nlines"]


def test_what_acts_in_training_only_is_left_out() -> None:
    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    inner = keras.Sequential([layers.RandomFlip(), layers.Conv2D(3, 3, padding="same"), layers.Dropout(0.5)])
    steps = layers.Pipeline([layers.RandAugment(), layers.Rescaling(0.5), layers.RandomErasing()])
    outputs = layers.TimeDistributed(layers.Dropout(0.5))(steps(inner(inner(inputs))))
    network = keras.Model(inputs, layers.Flatten()(layers.RandomCrop(12, 12)(outputs)))
    kinds = [type(layer).__name__ for layer in for_inference(network)._flatten_layers() if not hasattr(layer, "layers")]
    assert [kind for kind in kinds if kind != "InputLayer"] == ["Conv2D", "Rescaling", "RandomCrop", "Flatten"]


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_an_operation_that_a_runtime_lacks_is_named(surgeon: Surgeon, augmenting: Callable[..., Path]) -> None:
    require("litert")
    require("onnx")
    run = augmenting("float32", lambda outputs: keras.ops.erfinv(keras.ops.tanh(outputs) / 2))
    for name in ("litert", "onnx"):
        done = surgeon("export", run, "--to", name)
        assert done.code == 1
        assert name in done.err
        assert "Erfinv" in done.err
        assert "hint: try another format" in done.err
        assert not list((run / "export").iterdir())


@pytest.mark.parametrize("when", ["write", "open", "compute"])
def test_a_runtime_that_raises_is_told_with_what_it_said(
    surgeon: Surgeon, run: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def fail(*_: object) -> None:
        if when != "compute":
            os.write(2, b"straight to the descriptor: no such kernel\n")
        raise RuntimeError("no such kernel" if when == "compute" else "")

    fields = {"write": {"write": fail}, "open": {"open": fail}, "compute": {"open": lambda _: fail}}[when]
    monkeypatch.setitem(EXPORTERS.entries, "keras", dataclasses.replace(EXPORTERS["keras"], **fields))
    done = surgeon("export", run, "--to", "keras")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert "no such kernel" in done.err
    assert "keras" in done.err
    assert not list((run / "export").iterdir())


def slot(table: Table, field: int) -> int:
    return int(table.Offset(4 + 2 * field))


def text(table: Table, field: int) -> str:
    return bytes(table.String(table.Pos + slot(table, field))).decode()


def inner(table: Table, field: int) -> Table:
    return Table(table.Bytes, table.Indirect(table.Pos + slot(table, field)))


def tables(table: Table, field: int) -> list[Table]:
    start, count = table.Vector(slot(table, field)), table.VectorLen(slot(table, field))
    return [Table(table.Bytes, table.Indirect(start + 4 * at)) for at in range(count)]


@pytest.mark.parametrize("name", ["tensorflow", "openvino"])
@pytest.mark.usefixtures("tiny_and_small", "without_pictures")
@pytest.mark.parametrize("head", slow_but(["softmax"], ["softmax", "linear"]))
def test_many_images_get_the_same_answers_as_one(
    surgeon: Surgeon, tiny: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: str
) -> None:
    """They go through the engine of the frozen pass."""
    if name == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setattr(trained_networks, "usual_engine", lambda kinds: Engine(name, "float32", "", ""))
    out = tiny.with_name("run")
    overrides = ("--set", f"head[1].dense.activation={head}")
    assert surgeon("run", tiny, "--out", out, *overrides).code == 0
    one = [json.loads(line) for line in surgeon("predict", out, photos, "--format", "jsonl").out.splitlines()]
    monkeypatch.setattr(trained_networks, "MANY", 2)
    many = [json.loads(line) for line in surgeon("predict", out, photos, "--format", "jsonl").out.splitlines()]
    assert len(one) == 24
    for a, b in zip(one, many, strict=True):
        assert a["classes"] == b["classes"]
        assert b["probabilities"] == pytest.approx(a["probabilities"], abs=1e-5)
        assert sum(b["probabilities"]) == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_preprocessing_agrees_in_every_format(
    surgeon: Surgeon, tmp_path: Path, mirror: Path, backbone: str
) -> None:
    """On photographs of three flowers, from their bytes on; all that is kept is trained until it decides."""
    for name in EXPORTERS:
        require(name)
    jpg = mirror / "datasets" / "flowers17" / "jpg"
    for kind in range(3):
        (tmp_path / "photos" / f"kind {kind}").mkdir(parents=True)
        for number in range(80 * kind + 1, 80 * kind + 21):
            shutil.copy(jpg / f"image_{number:04}.jpg", tmp_path / "photos" / f"kind {kind}")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "recipe: 1\n"
        "data: {source: {folder: photos}, image_size: 64, split: {test: 0.25}, batch_size: 15}\n"
        f"backbone: {{name: {backbone}, weights: none, cut: {BACKBONES[backbone]}}}\n"
        "head: [global_average_pooling, dense: {units: classes}]\n"
        "phases: [{trainable: all, batch_norm: train, lr: 0.001, epochs: 3}]\n",
        encoding="utf-8",
    )
    assert surgeon("run", recipe, "--out", tmp_path / "run").code == 0
    for name, spec in EXPORTERS.items():
        result = export(surgeon, tmp_path / "run", "--to", name)
        assert (result["images"], result["changed_decisions"]) == (15, 0), name
        assert result["largest_difference"] < 1e-3, name
        for quantize in spec.quantizations if backbone == "vgg16" else ():
            narrow = export(surgeon, tmp_path / "run", "--to", name, "--quantize", quantize)
            assert 0 < narrow["size"] < 0.7 * result["size"]
            assert narrow["largest_difference"] > 0


@pytest.mark.slow
def test_serving_takes_a_batch_of_encoded_images(surgeon: Surgeon, run: Path, photos: Path) -> None:
    """Under the names that TensorFlow Serving knows."""
    folder = Path(export(surgeon, run, "--to", "savedmodel")["folder"])
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    assert set(loaded.signatures) == {"serving_default", "pixels"}
    files = sorted((photos / "along").iterdir())
    found = loaded.signatures["serving_default"](images=tf.constant([file.read_bytes() for file in files]))
    assert set(found) == {"classes", "scores"}
    assert found["scores"].shape == (len(files), 2)
    assert {name.decode() for name in found["classes"].numpy().ravel()} == {"across", "along"}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"surgeon: not a JPEG, .*; save it anew"):
        loaded.signatures["serving_default"](images=tf.constant([b"notes, and a good many more of them"]))


def test_a_decoder_that_differs_silently_fails_the_export(
    surgeon: Surgeon, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of the test images is turned, so only the synthetic files can tell."""
    spec = EXPORTERS["keras"]

    def open_encoded(path: Path) -> Callable[[Sequence[bytes]], Any]:
        classify_pixels = spec.open(path)

        def classify(images: Sequence[bytes]) -> Any:
            with Image.open(io.BytesIO(images[0])) as image:
                upright = image.convert("RGB") if image.mode in ("RGB", "L") else image
            if upright.mode != "RGB" or "transparency" in image.info:
                raise BadImageError("odd")
            return classify_pixels(fit_image(upright, Resizing((32, 32)))[None])

        return classify

    monkeypatch.setitem(EXPORTERS.entries, "keras", dataclasses.replace(spec, open_encoded=open_encoded))
    done = surgeon("export", run, "--to", "keras")
    assert done.code == 1
    assert "decodes a synthetic JPEG of orientation 2 otherwise than surgeon does" in done.err
    assert not list((run / "export").iterdir())


def test_images_that_an_export_refuses_are_said(surgeon: Surgeon, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise BadImageError("a PNG, for example")

    spec = dataclasses.replace(EXPORTERS["keras"], open_encoded=lambda _: refuse)
    monkeypatch.setitem(EXPORTERS.entries, "keras", spec)
    done = surgeon("export", run, "--to", "keras")
    assert done.code == 0
    said = " ".join(done.err.split())
    assert "it decodes images by itself: 0 of 63 synthetic files" in said
    assert "it refuses 6 of the 6 test images" in said
    assert "a PNG, for example" in said


def test_an_export_that_disagrees_leaves_nothing(surgeon: Surgeon, run: Path) -> None:
    """The stored predictions are of another network, as if preprocessing had got lost on the way."""
    header, *rows = (run / "predictions.csv").read_text(encoding="utf-8").splitlines()
    swapped = [",".join([*row.split(",")[:3], *reversed(row.split(",")[3:])]) for row in rows]
    (run / "predictions.csv").write_text("\n".join([header, *swapped]) + "\n", encoding="utf-8")
    done = surgeon("export", run, "--to", "keras")
    assert done.code == 1
    assert "6 of 6 test images get another class" in done.err
    assert not list((run / "export").iterdir())


def test_a_former_run_is_compared_on_its_photographs_or_on_synthetic_ones(surgeon: Surgeon, run: Path) -> None:
    """It keeps no images itself."""
    assert not (run / "pictures.zip").exists()
    assert export(surgeon, run, "--to", "keras", "--out", run / "first")["split"] == "test"
    text = (run / "splits.csv").read_text(encoding="utf-8")
    (run / "splits.csv").write_text(text.replace(text.splitlines()[1][-64:], "0" * 64), encoding="utf-8")
    done = surgeon("export", run, "--to", "keras", "--out", run / "second")
    assert done.code == 0
    assert "1 of the run's 24 images are gone or changed" in done.err
    assert "synthetic images" in done.out


def test_what_cannot_be_exported_is_said_at_once(surgeon: Surgeon, run: Path, tmp_path: Path) -> None:
    done = surgeon("export", run, "--to", "onnx", "--quantize", "int8")
    assert (done.code, "hint: litert can" in done.err) == (2, True)
    done = surgeon("export", tmp_path, "--to", "keras")
    assert (done.code, "holds no run" in done.err) == (2, True)


class TestPredict:
    def test_files_folders_globs_and_lists(
        self, surgeon: Surgeon, run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos}/along/3.png\n"))
        done = surgeon("predict", run, photos / "across", f"{photos}/along/1*.png", "-", "--format", "csv", "--top", 1)
        assert done.code == 0, done.err
        rows = list(csv.DictReader(io.StringIO(done.out)))
        assert len(rows) == 12 + 3 + 1
        assert {row["class"] for row in rows if "along" in row["file"]} == {"along"}

    def test_a_bad_image_is_named_and_the_rest_goes_on(
        self, surgeon: Surgeon, run: Path, photos: Path, tmp_path: Path
    ) -> None:
        bad = tmp_path / "bad.png"
        bad.write_text("no image", encoding="utf-8")
        done = surgeon("predict", run, bad, photos / "along" / "1.png", "--format", "jsonl")
        assert done.code == 1
        first, second = map(json.loads, done.out.splitlines())
        assert first["classes"] == []
        assert first["reason"].startswith("not an image that surgeon reads")
        assert second["classes"][0] == "along"

    @pytest.mark.parametrize("link", [False, True])
    def test_images_are_sorted_into_class_folders(
        self, surgeon: Surgeon, run: Path, photos: Path, tmp_path: Path, *, link: bool
    ) -> None:
        out = tmp_path / "sorted"
        assert surgeon("predict", run, photos, "--out", out, *(["--link"] if link else [])).code == 0
        # Files of both folders have the same names, and a mistake would put two of them side by side.
        found = sorted(path for path in out.rglob("*.png"))
        assert len(found) == 24
        assert {path.is_symlink() for path in found} == {link}
        assert {path.read_bytes() for path in found} == {path.read_bytes() for path in photos.rglob("*.png")}

    def test_a_strangers_bundle_writes_and_reads_nowhere_else(
        self, surgeon: Surgeon, run: Path, photos: Path, tmp_path: Path
    ) -> None:
        """Its classes are called like paths, and its network like a file above."""
        bundle = run / "bundle.json"
        record = json.loads(bundle.read_text(encoding="utf-8"))
        bundle.write_text(json.dumps({**record, "classes": ["../../out", ".."]}), encoding="utf-8")
        out = tmp_path / "deep" / "sorted"
        assert surgeon("predict", run, photos, "--out", out).code == 0
        assert {path.name for path in out.iterdir()} == {".._.._out", "_.."}
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["sorted"]
        shutil.copy(run / "network.keras", tmp_path / "above.keras")
        bundle.write_text(json.dumps({**record, "file": "../above.keras"}), encoding="utf-8")
        done = surgeon("predict", run, photos)
        assert (done.code, "outside of its folder" in done.err) == (2, True)

    def test_classes_whose_names_make_one_folder_get_two(
        self, surgeon: Surgeon, run: Path, photos: Path, tmp_path: Path
    ) -> None:
        bundle = run / "bundle.json"
        record = json.loads(bundle.read_text(encoding="utf-8"))
        bundle.write_text(json.dumps({**record, "classes": ["a/b", "a_b"]}), encoding="utf-8")
        assert surgeon("predict", run, photos, "--out", tmp_path / "sorted").code == 0
        assert {path.name for path in (tmp_path / "sorted").iterdir()} == {"a_b", "a_b-2"}

    def test_nothing_to_predict(self, surgeon: Surgeon, run: Path, photos: Path, tmp_path: Path) -> None:
        assert "nothing matches nowhere/*.jpg" in surgeon("predict", run, "nowhere/*.jpg").err
        assert "is not the folder of a network" in surgeon("predict", tmp_path, photos).err
        inside = " ".join(surgeon("predict", run / "network.keras", photos).err.split())
        assert "it is a file" in inside
        assert f"give the folder that it is in: {run}" in inside
        assert "there is no folder nowhere" in surgeon("predict", "nowhere", "nowhere/*.jpg").err

    def test_a_run_that_is_not_finished_is_said(self, surgeon: Surgeon, run: Path, photos: Path) -> None:
        assert "not finished" not in surgeon("predict", run, photos).err
        (run / "result.json").unlink()
        told = surgeon("predict", run, photos)
        assert (told.code, "warning: the run is not finished" in told.err) == (0, True)
        misspelled = surgeon("predict", run.with_name(f"{run.name}s"), photos).err
        assert f"there is no folder {run}s" in misspelled.replace("\n", "")
        assert f"did you mean '{run.name}'?" in misspelled


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_predict_goes_on_after_what_cannot_be_read(
    surgeon: Surgeon, run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copy(photos / "along/0.png", folder / "good.png")
    (folder / "sector.jpg").symlink_to("/proc/self/mem")
    (folder / "gone.jpg").symlink_to("/nowhere/gone.jpg")
    (folder / "scan.ppm").write_bytes(b"P6 1 1 255\n\0\0\0")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{folder}\n{tmp_path / 'deleted.png'}\n"))
    done = surgeon("predict", run, "-", "--format", "jsonl")
    assert done.code == 1
    found = {Path(row["file"]).name: row for row in map(json.loads, done.out.splitlines())}
    assert found["good.png"]["classes"]
    reasons = {name: row["reason"] for name, row in found.items() if row["reason"]}
    assert reasons.keys() == {"sector.jpg", "gone.jpg", "scan.ppm", "deleted.png"}
    assert "Input/output error" in reasons["sector.jpg"]
    assert "PPM" in reasons["scan.ppm"]
    assert "No such file" in reasons["deleted.png"]


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_network_without_numbers_is_said(
    command: str, surgeon: Surgeon, run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained_networks, "compiled", lambda network: lambda pixels: np.full((len(pixels), 2), np.nan))
    done = surgeon(command, run, photos)
    assert done.code == 1
    assert "not finite" in done.err


def test_files_of_one_name_are_counted_once_each(tmp_path: Path) -> None:
    numbers: dict[Path, int] = {}
    names = []
    for _ in range(4):
        names.append(unused(tmp_path / "a.png", numbers))
        names[-1].touch()
    assert [path.name for path in names] == ["a.png", "a-2.png", "a-3.png", "a-4.png"]
    assert numbers == {tmp_path / "a.png": 4}  # where the next one begins


class TestEvaluate:
    @pytest.fixture
    def other(self, photos: Path, tmp_path: Path) -> Path:
        """Other data: a class that the network does not know, and first in the alphabet."""
        root = tmp_path / "other"
        shutil.copytree(photos, root)
        shutil.copytree(photos / "along", root / "aardvark")
        return root

    def test_classes_are_matched_by_name(self, surgeon: Surgeon, run: Path, photos: Path, other: Path) -> None:
        own = json.loads(surgeon("evaluate", run, photos, "--format", "json").out)
        found = json.loads(surgeon("evaluate", run, other, "--format", "json").out)
        assert found["unknown"] == {"aardvark": 12}
        assert found["missing"] == []
        assert found["evaluation"] == own["evaluation"]
        assert found["evaluation"]["accuracy"] > 0.9
        told = surgeon("evaluate", run, other).out
        assert "'aardvark' is not a class of the network; 12 images left out" in told
        trained = sum("train" in line for line in (run / "splits.csv").read_text(encoding="utf-8").splitlines())
        assert found["trained_on"] == trained > 0
        assert f"{trained} images of these the run was trained on" in " ".join(told.split())

    def test_one_class_is_measured(self, surgeon: Surgeon, run: Path, other: Path) -> None:
        shutil.rmtree(other / "across")
        shutil.rmtree(other / "aardvark")
        found = json.loads(surgeon("evaluate", run, other, "--format", "json").out)
        assert (found["images"], found["missing"]) == (12, ["across"])

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    def test_what_cannot_be_read_is_named(self, surgeon: Surgeon, run: Path, other: Path) -> None:
        (other / "along/sector.jpg").symlink_to("/proc/self/mem")
        (other / "along/gone.jpg").symlink_to("/nowhere/gone.jpg")
        done = surgeon("evaluate", run, other)
        assert done.code == 0, done.err
        assert "along/sector.jpg: cannot be read: Input/output error" in done.out
        assert "along/gone.jpg" in done.out

    def test_nothing_that_can_be_read_is_said(self, surgeon: Surgeon, run: Path, other: Path) -> None:
        for image in other.rglob("*.png"):
            image.write_text("x")
        done = surgeon("evaluate", run, other)
        assert done.code == 1
        assert "none of the 24 images can be read; the first is across/0.png" in done.err

    def test_columns_of_a_csv_can_be_named(self, surgeon: Surgeon, run: Path, photos: Path, tmp_path: Path) -> None:
        rows = [f"{photos}/{label}/{number}.png,{label}" for number in range(12) for label in ("along", "across")]
        table = tmp_path / "table.csv"
        table.write_text("file,01\n" + "\n".join(rows))
        assert "no column 'path'; its columns are 'file', '01'" in surgeon("evaluate", run, table).err
        columns = ["--image-column", "file", "--label-column", "01"]
        found = json.loads(surgeon("evaluate", run, table, *columns, "--format", "json").out)
        assert found["images"] == 24
        assert "has no columns to name" in surgeon("evaluate", run, photos, *columns).err

    def test_what_was_found_can_be_kept(self, surgeon: Surgeon, run: Path, other: Path, tmp_path: Path) -> None:
        kept = tmp_path / "kept"
        said = json.loads(surgeon("evaluate", run, other, "--out", kept, "--format", "json").out)
        assert json.loads((kept / "evaluation.json").read_text(encoding="utf-8")) == {"version": 1, **said}
        rows = (kept / "predictions.csv").read_text(encoding="utf-8").splitlines()
        assert rows[0] == "file,label,predicted,across,along"
        assert len(rows) == 1 + said["images"]
        assert (kept / "confusion.png").stat().st_size > 1000
        again = surgeon("evaluate", run, other, "--out", kept)
        assert again.code == 2
        assert "exists" in again.err

    def test_a_missing_class_spoils_no_average(self, surgeon: Surgeon, run: Path, other: Path) -> None:
        shutil.rmtree(other / "across")
        found = json.loads(surgeon("evaluate", run, other, "--format", "json").out)
        assert found["missing"] == ["across"]
        assert found["images"] == 12
        _, along = found["evaluation"]["per_class"]
        assert found["evaluation"]["macro"] == pytest.approx(along)

    def test_a_csv_in_another_order(self, surgeon: Surgeon, run: Path, photos: Path, tmp_path: Path) -> None:
        rows = [f"{photos}/{label}/{number}.png,{label}" for number in range(12) for label in ("along", "across")]
        table = tmp_path / "other.csv"
        table.write_text("\n".join(["path,label", *reversed(rows)]) + "\n", encoding="utf-8")
        by_csv = json.loads(surgeon("evaluate", run, table, "--format", "json").out)
        by_folder = json.loads(surgeon("evaluate", run, photos, "--format", "json").out)
        assert by_csv["evaluation"] == by_folder["evaluation"]

    def test_nothing_in_common(self, surgeon: Surgeon, run: Path, other: Path) -> None:
        (other / "along").rename(other / "length")
        (other / "across").rename(other / "breadth")
        done = surgeon("evaluate", run, other)
        assert done.code == 1
        assert "knows none of the classes aardvark, breadth, length" in done.err
