"""What a LiteRT file says of itself: how its pixels are scaled and what its outputs are called.

TensorFlow Lite's model metadata, which MediaPipe's tasks, Android Studio and Netron read: a table of its own, after
``metadata_schema.fbs`` (https://github.com/google-ai-edge/mediapipe, ``mediapipe/tasks/metadata``), in a buffer of the
model, and the labels as a file in a ZIP archive behind it. Of the packages that write it, ``tflite-support`` has ended
and the wheels of ``mediapipe`` lack a part of their writer (1.2.3: no ``mediapipe.tasks.cc``).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

_LABELS = "labels.txt"
# Members of the schema's unions and enumerations.
_FEATURE, _IMAGE = 1, 2
_RGB = 1
_NORMALIZATION = 1
_AXIS_LABELS = 2

Table = Mapping[int, Any]  # values by the number of their field in the schema


def add_metadata(model: bytes, name: str, labels: str) -> bytes:
    """Returns a LiteRT image classifier with metadata.

    Args:
        model: A LiteRT file with one input, RGB pixels from 0 to 255 that are taken as they are, and one output,
            a probability per class.
        name: What the model is called.
        labels: Names of its outputs, one per line.
    """
    opened = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(_encode(_metadata(name)))
    opened.buffers.append(buffer)
    entry.name, entry.buffer = "TFLITE_METADATA", len(opened.buffers) - 1
    opened.metadata = [*(opened.metadata or []), entry]
    whole = io.BytesIO(flatbuffer_utils.convert_object_to_bytearray(opened))
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr(_LABELS, labels)
    return whole.getvalue()


def _metadata(name: str) -> Table:
    """Returns the schema's ``ModelMetadata``."""
    image = {
        0: "image",
        1: "RGB from 0 to 255; preprocessing is part of the model",
        3: {0: _IMAGE, 1: {0: _RGB}},
        4: [{0: _NORMALIZATION, 1: {0: [0.0], 1: [1.0]}}],  # mean and standard deviation: as it is
        5: {0: [255.0], 1: [0.0]},  # the most and the least
    }
    probabilities = {
        0: "probability",
        1: "of each class",
        3: {0: _FEATURE, 1: {}},
        5: {0: [1.0], 1: [0.0]},
        6: [{0: _LABELS, 1: "names of the classes", 2: _AXIS_LABELS}],
    }
    return {0: name, 3: [{2: [image], 3: [probabilities]}], 7: "1.0.0"}


def _encode(table: Table) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, table), b"M001")
    return bytes(builder.Output())


def _write(builder: Any, value: str | Table | Sequence[Any]) -> int:
    """Writes a text, a table, or a list of tables or of real numbers; returns where it stands."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, Mapping):
        # What a table refers to stands before it; whole numbers, of a byte here, stand inside it.
        parts = {field: part if isinstance(part, int) else _write(builder, part) for field, part in value.items()}
        builder.StartObject(max(value, default=-1) + 1)
        for field, part in value.items():
            slot = builder.PrependInt8Slot if isinstance(part, int) else builder.PrependUOffsetTRelativeSlot
            slot(field, parts[field], 0)
        return int(builder.EndObject())
    if all(isinstance(item, float) for item in value):
        return int(builder.CreateNumpyVector(np.array(value, np.float32)))
    offsets = [_write(builder, item) for item in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
