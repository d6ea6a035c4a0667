"""The formats that a trained network is handed over in.

Every one of them takes RGB pixels from 0 to 255 at the network's size, float32 of shape (batch, height, width, 3), and
gives probabilities, float32 of shape (batch, classes): preprocessing and softmax are part of the graph. Where a recipe
has ``reject``, ``unknown`` is one more class, the last.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgeon.catalogue.entry import Entry, table
from surgeon.catalogue.graph_checks import check_onnx, check_saved_model
from surgeon.errors import BadImageError
from surgeon.resizing import Resizing
from surgeon.text import printable

Classifier = Callable[[Any], Any]  # pixels to probabilities


@dataclass(frozen=True, eq=False)
class Export:
    """What is to be written.

    Attributes:
        name: What the run is called.
        network: A Keras model of the form above.
        classes: Names of its outputs, in their order.
        resizing: How images become the pixels that it takes.
        quantize: What its numbers are narrowed to, or None.
        calibration: Returns pixels of training images, one by one, which int8 is fitted to.
    """

    name: str
    network: Any
    classes: tuple[str, ...]
    resizing: Resizing
    quantize: str | None
    calibration: Callable[[], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class ExporterSpec(Entry):
    """A format.

    Attributes:
        file: What a bundle of this format calls its network, a file or a folder.
        modules: What the extra of surgeon that is called like the format brings; a package has its own dependencies.
        quantizations: What its numbers may be narrowed to.
        write: Writes an export to a path.
        open: Returns the function from pixels to probabilities, computed in the format's own runtime.
        open_encoded: The same from the bytes of image files, for a format that decodes them itself; else None. Its
            function raises BadImageError if it refuses one of them.
        check: Raises SurgeonError if a network may do more than compute, for a format whose runtime would let it.
        in_tensorflow: Whether TensorFlow is its runtime.
        input: What the network calls the pixels that it takes, for ``bundle.json``; None if it has no name for them.
        batch: How many images it takes at once; None for any number.

    Raises:
        ValueError: If it is called ``run``, which in a bundle means the network of a run.
    """

    file: str
    modules: tuple[str, ...] = ()
    quantizations: tuple[str, ...] = ()
    write: Callable[[Export, Path], None]
    open: Callable[[Path], Classifier]
    open_encoded: Callable[[Path], Callable[[Sequence[bytes]], Any]] | None = None
    check: Callable[[Path], None] | None = None
    in_tensorflow: bool = False
    input: str | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "run":
            raise ValueError("no format can be called 'run', which in a bundle means the network of a run")


def labels_text(classes: Iterable[str]) -> str:
    """Returns the content of a ``labels.txt``: a line for each class, whatever its name; a blank one is quoted."""
    lines = map(printable, classes)
    return "".join(f"{line if line.strip() else repr(line)}\n" for line in lines)


def _write_keras(export: Export, path: Path) -> None:
    export.network.save(path)


def _open_keras(path: Path) -> Classifier:
    import keras

    return compiled(keras.saving.load_model(path, compile=False, safe_mode=True))


def compiled(network: Any) -> Classifier:
    """Returns a Keras model as a function in inference mode."""
    import numpy as np
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(network.input.shape, tf.float32)])  # type: ignore[untyped-decorator]
    def classify(pixels: Any) -> Any:
        return network(pixels, training=False)

    return lambda pixels: np.asarray(classify(tf.cast(pixels, tf.float32)))


def _write_savedmodel(export: Export, path: Path) -> None:
    """Writes the signatures of TensorFlow Serving's classification: encoded images to scores, and pixels to scores."""
    import tensorflow as tf

    from surgeon.networks.decoding import decode_images

    network, size = export.network, export.resizing.size

    def scored(scores: Any) -> dict[str, Any]:
        # Bytes of a folder's name that are not UTF-8 stay what they are.
        names = tf.constant([[name.encode("utf-8", "surrogateescape") for name in export.classes]])
        return {"scores": scores, "classes": tf.tile(names, [tf.shape(scores)[0], 1])}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="images")])  # type: ignore[untyped-decorator]
    def classify_encoded(images: Any) -> dict[str, Any]:
        return scored(network(decode_images(images, export.resizing), training=False))

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec((None, *size, 3), tf.float32, name="pixels")]
    )
    def classify_pixels(pixels: Any) -> dict[str, Any]:
        return scored(network(pixels, training=False))

    tf.saved_model.save(network, str(path), signatures={"serving_default": classify_encoded, "pixels": classify_pixels})


def _open_savedmodel(path: Path) -> Classifier:
    import numpy as np
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda pixels: np.asarray(loaded.signatures["pixels"](pixels=tf.cast(pixels, tf.float32))["scores"])


def _open_encoded_savedmodel(path: Path) -> Callable[[Sequence[bytes]], Any]:
    import numpy as np
    import tensorflow as tf

    from surgeon.networks.decoding import refusal_in

    loaded = tf.saved_model.load(str(path))

    def classify(images: Sequence[bytes]) -> Any:
        try:
            return np.asarray(loaded.signatures["serving_default"](images=tf.constant(images))["scores"])
        except tf.errors.InvalidArgumentError as error:
            raise BadImageError(refusal_in(error.message)) from error

    return classify


def _write_litert(export: Export, path: Path) -> None:
    import tensorflow as tf

    from surgeon.networks.litert_metadata import add_metadata

    with tempfile.TemporaryDirectory() as folder:
        _export_named(export.network, folder, "tf_saved_model")
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _narrow(converter, export)
        content = converter.convert()
    path.write_bytes(add_metadata(content, printable(export.name), labels_text(export.classes)))


def _export_named(network: Any, path: Path | str, form: str) -> None:
    """Lets Keras export a network whose input is called ``pixels`` and whose output ``probabilities``."""
    import keras
    import tensorflow as tf

    named = keras.Model(network.input, {"probabilities": network.output})
    named(keras.ops.zeros((1, *network.input.shape[1:])))  # Keras exports only what was called once
    signature = [tf.TensorSpec(network.input.shape, tf.float32, name="pixels")]
    named.export(path, format=form, verbose=False, input_signature=signature)


def _narrow(converter: Any, export: Export) -> None:
    import tensorflow as tf

    if export.quantize is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if export.quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if export.quantize == "int8":
        converter.representative_dataset = lambda: ([image[None]] for image in export.calibration())


def _open_litert(path: Path) -> Classifier:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (image,), (scores,) = interpreter.get_input_details(), interpreter.get_output_details()

    def classify_one(pixels: Any) -> Any:
        interpreter.set_tensor(image["index"], np.asarray(pixels, np.float32)[None])
        interpreter.invoke()
        return interpreter.get_tensor(scores["index"])[0]

    return lambda pixels: np.stack([classify_one(image) for image in pixels])


def _write_onnx(export: Export, path: Path) -> None:
    import keras
    import numpy as np
    import onnx

    for layer in export.network._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            # Its tensors would become inputs of the graph; NumPy's arrays become constants of it.
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    _export_named(export.network, path, "onnx")
    written = onnx.load(path)
    for value in (*written.graph.input, *written.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(written, path)


def _open_onnx(path: Path) -> Classifier:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it cannot do it raises as well
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    return lambda pixels: session.run(None, {image.name: np.asarray(pixels, np.float32)})[0]


EXPORTERS = table(
    ExporterSpec(
        name="keras",
        summary="A `.keras` file, preprocessing included.",
        file="model.keras",
        write=_write_keras,
        open=_open_keras,
        in_tensorflow=True,
        input="pixels",
    ),
    ExporterSpec(
        name="savedmodel",
        summary="A TensorFlow SavedModel for TensorFlow Serving; it takes encoded images, and pixels as well.",
        file="saved_model",
        write=_write_savedmodel,
        open=_open_savedmodel,
        open_encoded=_open_encoded_savedmodel,
        check=check_saved_model,
        in_tensorflow=True,
        input="pixels",
    ),
    ExporterSpec(
        name="litert",
        summary="A LiteRT (TensorFlow Lite) file for phones and small devices, as float16 or int8 if asked.",
        file="model.tflite",
        modules=("ai_edge_litert",),
        quantizations=("float16", "int8"),
        write=_write_litert,
        open=_open_litert,
        input="pixels",
        batch=1,
    ),
    ExporterSpec(
        name="onnx",
        summary="An ONNX file for ONNX Runtime and whatever else reads ONNX.",
        file="model.onnx",
        modules=("tf2onnx", "onnx", "onnxruntime"),
        write=_write_onnx,
        open=_open_onnx,
        input="pixels",
        check=check_onnx,
    ),
    group="surgeon.exporters",
)
