"""The layer/index table of a network, read without TensorFlow from a file that was generated with it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surgeon.errors import SurgeonError
from surgeon.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from pathlib import Path

Shape = tuple[int, ...]  # without the batch

_CODE = "it holds code, such as a Lambda layer, and code of a file is never run; save the network without it"
_OPENING_HINTS = {  # by a part of Keras' message
    "safe_mode": _CODE,
    "unsafe": _CODE,
    "Could not locate": "it is made of classes that are not Keras' own; save a functional model of Keras' layers",
}


@dataclass(frozen=True)
class LayerRow:
    """One layer of a network.

    Attributes:
        index: Its place in the network; recipes may use it as the layer's name.
        kind: Its Keras class.
        inputs: Indices of the layers that feed it.
        shape: Output shape without the batch.
        trainable: How many parameters training can change.
        fixed: How many it cannot: the statistics of normalization layers.
    """

    index: int
    name: str
    kind: str
    inputs: tuple[int, ...]
    shape: Shape
    trainable: int
    fixed: int


@dataclass(frozen=True)
class LayerTable:
    """The layers of a network in the order of their indices.

    An operation that is no layer (the sum of a residual connection, written as ``+``) has no row; it counts
    to the layer whose output it alone uses.

    Attributes:
        top: Index at which the classifier that came with the network begins; the default cut is before it.
        inside: Names of layers within layers, which have no row but whose names are taken.
    """

    network: str
    top: int
    rows: tuple[LayerRow, ...]
    inside: frozenset[str] = frozenset()

    def ancestors(self, index: int) -> frozenset[int]:
        """Returns ``index`` and the indices of all layers that its output depends on."""
        return ancestors(self.rows, index)


def ancestors(rows: Iterable[LayerRow], index: int) -> frozenset[int]:
    """Returns ``index`` and the indices of those of some rows that its output depends on."""
    inputs = {row.index: row.inputs for row in rows}
    found, waiting = set[int](), [index]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(inputs[current])
    return frozenset(found)


@dataclass(frozen=True)
class Extent:
    """How a side of a feature map follows from the image's side n: ``factor * ((n + shift) // stride) + offset``.

    Windows with a stride, padding and cropping compose to this form exactly.
    """

    stride: int = 1
    shift: int = 0
    offset: int = 0
    factor: int = 1

    def __call__(self, side: int) -> int:
        """Returns the feature map's side for an image's."""
        return self.factor * ((side + self.shift) // self.stride) + self.offset

    def padded(self, amount: int) -> Extent:
        """Returns the extent after ``amount`` more pixels; a negative amount crops."""
        return Extent(self.stride, self.shift, self.offset + amount, self.factor)

    def strided(self, amount: int, stride: int) -> Extent:
        """Returns the extent ``(self + amount) // stride``.

        Raises:
            ValueError: If the result is not of this form.
        """
        if self.factor == 1:
            return Extent(self.stride * stride, self.shift + self.stride * (self.offset + amount))
        if self.factor % stride == 0:
            return Extent(self.stride, self.shift, (self.offset + amount) // stride, self.factor // stride)
        raise ValueError(f"no closed form for {self} with stride {stride}")

    def padded_to_even(self, kernel: int) -> Extent:
        """Returns the extent after Keras' ``correct_pad``, which pads even sides by one pixel less."""
        half = kernel // 2
        ceiling = self.strided(1, 2)
        return Extent(ceiling.stride, ceiling.shift, 2 * ceiling.offset + 2 * half - 1, 2)


def read_table(file: Path, image_size: tuple[int, int]) -> LayerTable:
    """Returns the table in the file of a backbone for images of ``image_size`` (height, width).

    Raises:
        SurgeonError: If there is no such file.
    """
    if not file.exists():
        made = f"`python -m surgeon.generate {file.name}` makes it in a checkout"
        raise SurgeonError(f"there is no table of layers at {file}", made)
    content = json.loads(file.read_text(encoding="utf-8"))
    rows = (_row(index, values, image_size) for index, values in enumerate(content["layers"]))
    return LayerTable(content["backbone"], content["top"], tuple(rows))


def _row(index: int, values: Mapping[str, Any], image_size: tuple[int, int]) -> LayerRow:
    shape = values["shape"]
    if len(shape) == 3 and isinstance(shape[0], list):
        extent = Extent(*shape[0])
        shape = [extent(image_size[0]), extent(image_size[1]), shape[2]]
    trainable, fixed = values["parameters"]
    return LayerRow(index, values["name"], values["class"], tuple(values["inputs"]), tuple(shape), trainable, fixed)


def tabulate(model: Any, top: int | None = None) -> LayerTable:
    """Returns the table of a functional Keras model as it is.

    A layer that is called in several places feeds itself, as it were: no beginning of the network holds all of it.

    Args:
        model: A functional ``keras.Model`` with one input.
        top: Where its classifier begins; by default after the last layer.
    """
    nodes = graph_nodes(model)
    index = {layer.name: position for position, layer in enumerate(model.layers)}
    rows = []
    for position, layer in enumerate(model.layers):
        own = [node for node in nodes if node.operation is layer]
        parents = {index[parent] for node in own for parent in _layers_before(node, index)}
        rows.append(
            LayerRow(
                index=position,
                name=layer.name,
                kind=type(layer).__name__,
                inputs=tuple(sorted(parents | ({position} if len(own) > 1 else set()))),
                shape=tuple(own[0].outputs[0].shape[1:]),
                trainable=sum(math.prod(variable.shape) for variable in layer.trainable_variables),
                fixed=sum(math.prod(variable.shape) for variable in layer.non_trainable_weights),
            )
        )
    inside = {inner.name for layer in model.layers for inner in layer._flatten_layers(include_self=False)}
    return LayerTable(model.name, len(rows) if top is None else top, tuple(rows), frozenset(inside))


def graph_nodes(model: Any) -> list[Any]:
    """Returns the calls of layers, and of operations that are not layers, that a functional model is made of."""
    return [node for depth in model._nodes_by_depth.values() for node in depth]


def nodes_before(node: Any) -> set[int]:
    """Returns the identities of a node and of all nodes that it depends on."""
    found, waiting = set[int](), [node]
    while waiting:
        current = waiting.pop()
        if id(current) not in found:
            found.add(id(current))
            waiting.extend(current.parent_nodes)
    return found


def _layers_before(node: Any, index: Mapping[str, int]) -> set[str]:
    """Returns the layers that feed a node, looked for through operations that are not layers."""
    found, seen, waiting = set[str](), set[int](), list(node.parent_nodes)
    while waiting:
        parent = waiting.pop()
        if id(parent) in seen:
            continue
        seen.add(id(parent))
        if parent.operation.name in index:
            found.add(parent.operation.name)
        else:
            waiting.extend(parent.parent_nodes)
    return found


def open_model(path: Path) -> Any:
    """Returns the Keras model in a ``.keras`` file, with Keras' safe mode on: no code of the file is run.

    Raises:
        SurgeonError: If the file is missing, would take far more memory than it has bytes, or Keras refuses it.
    """
    if not path.is_file():
        raise SurgeonError(f"no model file at {path}")
    load_tensorflow()
    import keras

    from surgeon.networks.unpacking import check_model_file

    try:
        check_model_file(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except SurgeonError:
        raise
    except Exception as error:  # Keras raises whatever the file provokes
        reason = " ".join(str(error).split())[:300]
        hint = next((hint for part, hint in _OPENING_HINTS.items() if part in str(error)), "is it a .keras file?")
        raise SurgeonError(f"Keras cannot open {path}: {reason}", hint) from error
    if not isinstance(model, keras.Model):
        raise SurgeonError(f"{path} contains a {type(model).__name__}, not a model", "save the model itself")
    # What was frozen when it was saved says nothing about the next phases. Keras passes `trainable` on to the
    # layers only where it changes the model's own.
    for layer in model._flatten_layers():
        layer.trainable = True
    return model
