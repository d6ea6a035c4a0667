"""Networks of strangers: what does more than compute, or unpacks to more than it says, is not opened."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.exporters import EXPORTERS
from surgeon.catalogue.graph_checks import check_saved_model
from surgeon.catalogue.layer_table import open_model
from surgeon.errors import SurgeonError
from surgeon.model.weights import load_weights
from surgeon.networks.unpacking import check_weights_file
from surgeon.recipe.bundle import Bundle, write_bundle
from surgeon.tensorflow import load_tensorflow

Surgeon = Callable[..., Any]
SIZE = 8


@pytest.fixture(autouse=True)
def loaded() -> None:
    load_tensorflow()


def network(*inner: Any) -> Any:
    import keras

    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(pixels)
    for layer in inner:
        x = layer(x)
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(x))


def save(folder: Path, inside: Callable[[Any], Any]) -> Path:
    """Writes a SavedModel bundle whose graph does something on its way, as a stranger would."""
    import tensorflow as tf

    class Classifier(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(tf.ones((3, 2)))

        @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32, name="pixels")])
        def pixels(self, pixels: Any) -> dict[str, Any]:
            return {"scores": tf.nn.softmax(inside(tf.reduce_mean(pixels, (1, 2))) @ self.weight)}

    made = Classifier()
    tf.saved_model.save(made, str(folder / "saved_model"), signatures={"pixels": made.pixels})
    write_bundle(
        folder,
        Bundle(
            "x", ("a", "b"), (SIZE, SIZE), "savedmodel", "saved_model", "none", False, "squash", 1.0, "bilinear", None
        ),
    )
    return folder


def attacks(secret: Path, target: Path) -> dict[str, Callable[[Any], Any]]:
    import tensorflow as tf

    def also(work: Callable[[], Any]) -> Callable[[Any], Any]:
        def inside(x: Any) -> Any:
            with tf.control_dependencies([work()]):
                return tf.identity(x)

        return inside

    def nested(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > -1, lambda: also(lambda: tf.io.write_file(str(target), "x"))(x), lambda: x)

    return {
        "ReadFile": also(lambda: tf.strings.length(tf.io.read_file(str(secret)))),
        "WriteFile": nested,
        "MatchingFiles": also(lambda: tf.io.matching_files("/etc/*")),
        "PrintV2": also(lambda: tf.print("x", output_stream=f"file://{target}")),
        "SaveV2": also(
            lambda: tf.raw_ops.SaveV2(
                prefix=str(target), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1)]
            )
        ),
        "RestoreV2": also(
            lambda: tf.raw_ops.RestoreV2(
                prefix=str(secret), tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.int32]
            )[0]
        ),
        "EagerPyFunc": also(lambda: tf.py_function(lambda: 1, [], tf.int32)),
        "TextLineDataset": also(lambda: tf.data.TextLineDataset(str(secret)).reduce(0, lambda n, _: n + 1)),
    }


@pytest.mark.parametrize(
    "operation",
    ["ReadFile", "WriteFile", "MatchingFiles", "PrintV2", "SaveV2", "RestoreV2", "EagerPyFunc", "TextLineDataset"],
)
def test_a_graph_that_does_more_than_compute_is_refused(
    surgeon: Surgeon, tmp_path: Path, write_image: Callable[..., Path], operation: str
) -> None:
    image, target = write_image(tmp_path / "image.png", 0), tmp_path / "written"
    bundle = save(tmp_path / "bundle", attacks(image, target)[operation])
    done = surgeon("predict", bundle, image)
    assert (done.code, operation in done.err, "--trust" in done.err) == (1, True, True)
    assert not list(tmp_path.glob("written*"))
    if operation == "WriteFile":
        assert surgeon("predict", bundle, image, "--trust").code == 0
        assert target.exists()


def test_a_graph_with_files_beside_its_weights_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    words = tmp_path / "words.txt"
    words.write_text("a\n", encoding="utf-8")

    class Table(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.asset = tf.saved_model.Asset(str(words))

    tf.saved_model.save(Table(), str(tmp_path / "saved_model"))
    with pytest.raises(SurgeonError, match="as assets"):
        check_saved_model(tmp_path / "saved_model")


def test_a_link_in_a_network_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, lambda x: x) / "saved_model"
    check_saved_model(folder)
    (folder / "variables" / "more").symlink_to("/etc/passwd")
    with pytest.raises(SurgeonError, match="is a link"):
        check_saved_model(folder)


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"not a message" * 99])
def test_a_damaged_graph_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(SurgeonError, match=r"saved_model\.pb is damaged"):
        check_saved_model(tmp_path)


def test_an_onnx_file_with_weights_elsewhere_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    import numpy as np
    from onnx import helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "weight")
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (2, 2)) for name in ("x", "y")]
    inner = helper.make_graph([helper.make_node("Add", ["x", "weight"], ["y"])], "g", ends[:1], ends[1:], [weight])
    model = helper.make_model(inner)
    onnx.save(model, tmp_path / "model.onnx")
    check = EXPORTERS["onnx"].check
    assert check is not None
    check(tmp_path / "model.onnx")
    stored = model.graph.initializer[0]
    stored.ClearField("raw_data")
    stored.data_location = onnx.TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="../../etc/passwd")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(SurgeonError, match="from other files"):
        check(tmp_path / "model.onnx")


def even(units: int) -> Any:
    """A network whose weights are all the same, and compress to nothing."""
    import keras

    equal = keras.layers.Dense(units, kernel_initializer="ones", use_bias=False)
    return network(equal, keras.layers.Reshape((units, 1)), keras.layers.GlobalAveragePooling1D())


def repacked(path: Path, **members: bytes) -> Path:
    """Writes a ``.keras`` file again, compressed and with other members."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()} | members
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return path


def squeezed(weights: bytes) -> bytes:
    """Returns an HDF5 file with the same arrays, compressed within."""
    import h5py

    whole, small = io.BytesIO(weights), io.BytesIO()
    with h5py.File(whole) as source, h5py.File(small, "w") as target:

        def copy(name: str, found: Any) -> None:
            if isinstance(found, h5py.Dataset):
                target.create_dataset(name, data=found[()], compression="gzip")
            else:
                target.create_group(name).attrs.update(found.attrs)

        source.visititems(copy)
    return small.getvalue()


def test_a_network_that_unpacks_to_far_more_than_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.keras"
    even(8_000_000).save(path)
    assert open_model(path).count_params() > 8_000_000
    with pytest.raises(SurgeonError, match="would take 96 MB when it is unpacked"):
        open_model(repacked(path))
    with zipfile.ZipFile(path) as archive:
        weights = squeezed(archive.read("model.weights.h5"))
    with pytest.raises(SurgeonError, match="would take 96 MB when it is unpacked"):
        open_model(repacked(path, **{"model.weights.h5": weights}))


def test_a_network_that_is_only_described_is_not_built(tmp_path: Path) -> None:
    path = tmp_path / "network.keras"
    network().save(path)
    with zipfile.ZipFile(path) as archive:
        description = archive.read("config.json").decode()
    huge = description.replace('"units": 2,', '"units": 80000000000,')
    assert huge != description
    with pytest.raises(SurgeonError, match="would take 1,280,000 MB when it is built"):
        open_model(repacked(path, **{"config.json": huge.encode()}))


def test_an_honest_network_may_be_packed(tmp_path: Path) -> None:
    path = tmp_path / "network.keras"
    network().save(path)
    before = path.stat().st_size
    assert open_model(repacked(path)).count_params() == network().count_params()
    assert path.stat().st_size < before


def test_weights_that_unpack_to_far_more_than_their_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.weights.h5"
    even(8_000_000).save_weights(path)
    check_weights_file(path)
    path.write_bytes(squeezed(path.read_bytes()))
    with pytest.raises(SurgeonError, match="would take 96 MB when it is unpacked"):
        load_weights(network(), BACKBONES["vgg16"], str(path), include_top=False)
