"""A network that somebody brings, as a flat functional model from images to features."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from surgeon.catalogue.layer_table import graph_nodes, nodes_before
from surgeon.errors import SurgeonError

if TYPE_CHECKING:
    from collections.abc import Collection

Sides = tuple[int | None, int | None]  # height and width; None takes any

_SCOPE = re.compile(r"[A-Za-z0-9_.\\/>-]+")  # what TensorFlow's compiled functions take for a name
DEFAULT_IMAGE_SIZE = 224  # for a network that takes any


def image_sides(model: Any) -> Sides:
    """Returns the size of the images that a model takes.

    Raises:
        SurgeonError: If it does not take one image of three channels, or is not a graph of layers.
    """
    shapes = [tuple(tensor.shape) for tensor in _flat(model).inputs]
    if len(shapes) != 1:
        taken = ", ".join(map(_spell, shapes))
        raise SurgeonError(f"{model.name!r} takes {len(shapes)} inputs: {taken}", "expected one, the image")
    (shape,) = shapes
    if len(shape) != 4:
        expected = "save a network that takes (height, width, 3)"
        raise SurgeonError(f"{model.name!r} takes {_spell(shape)}, which is not an image", expected)
    first = next((layer for layer in model._flatten_layers() if _is_channels_first(layer)), None)
    if first is not None or (shape[-1] != 3 and shape[1] == 3):
        name = model.name if first is None else first.name
        raise SurgeonError(f"{name!r} takes channels first", "save the network with data_format 'channels_last'")
    if shape[-1] != 3:
        raise SurgeonError(
            f"{model.name!r} takes images of {shape[-1]} channels, but images are read as RGB, with 3 channels",
            "save a network that takes (height, width, 3)",
        )
    odd = next((weight for weight in model.weights if weight.dtype in ("float16", "bfloat16", "float64")), None)
    if odd is not None:
        raise SurgeonError(
            f"the weights of {model.name!r} are {odd.dtype}, and surgeon trains in float32",
            "build the network under Keras' policy float32, give it these weights, and save it",
        )
    return shape[1], shape[2]


def takes_integers(model: Any) -> bool:
    """Tells whether a model takes whole numbers, pixels from 0 to 255."""
    return "int" in str(_flat(model).inputs[0].dtype)


def on_images(model: Any, image_size: tuple[int, int]) -> Any:
    """Returns a model's layers, on their weights, as one graph that takes float32 images of a size.

    However its input was declared (any size, a fixed batch, a mapping of one, integers), it is
    (batch, height, width, 3) now. Layers that computed in a narrower precision compute in float32, until the recipe's
    ``precision`` says otherwise.

    Raises:
        SurgeonError: If the model cannot take images of that size.
    """
    import keras

    flat = _flat(model)
    for layer in flat._flatten_layers():
        if layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = "float32"
    (entrance,) = (layer for layer in flat.layers if isinstance(layer, keras.layers.InputLayer))
    image = keras.Input((*image_size, 3), name=entrance.name)
    try:
        rebuilt = keras.models.clone_model(flat, input_tensors=image, clone_function=lambda layer: layer)
    except Exception as error:  # a layer raises whatever it pleases
        reason = " ".join(str(error).split())[:300]
        raise SurgeonError(
            f"{model.name!r} cannot take images of {image_size[0]} x {image_size[1]} pixels: {reason}",
            "give another data.image_size",
        ) from error
    rebuilt.name = model.name
    return rebuilt


def cut_problem(model: Any, cut: str, kept: Collection[str]) -> str | None:
    """Returns what keeps a model from being cut after a layer, or None.

    Args:
        model: As :func:`on_images` returns it.
        cut: The last layer that is kept.
        kept: The names of all layers that lead to it.
    """
    nodes = graph_nodes(model)
    reached = nodes_before(next(node for node in nodes if node.operation.name == cut))
    for node in nodes:
        name = node.operation.name
        if name in kept and id(node) not in reached:
            return f"layer {name!r} is called in several places, and not all of them lead to {cut!r}"
        if name in kept and len(node.outputs) > 1:
            return f"layer {name!r} has {len(node.outputs)} outputs, expected one"
        if name in kept and None in node.outputs[0].shape[1:]:
            return f"the output shape of layer {name!r} is unknown: {_spell(node.outputs[0].shape)}"
    inner = (inner.name for layer in model.layers if layer.name in kept for inner in layer._flatten_layers())
    unspeakable = next((name for name in inner if not _SCOPE.fullmatch(name)), None)
    if unspeakable is not None:
        return f"TensorFlow cannot run a layer that is called {unspeakable!r}; save it under another name"
    paths = [weight.path for layer in model.layers if layer.name in kept for weight in layer.weights]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    return twice and f"two of the weights up to {cut!r} are called {twice!r}, and could not be told apart"


def _flat(model: Any) -> Any:
    """Returns a model as a graph of layers from its input, not a mapping or list of one; a sequence is one, too.

    Raises:
        SurgeonError: If it is a program and not a graph.
    """
    import keras

    try:
        inputs, outputs = model.inputs, model.outputs
        return keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name=model.name)
    except Exception as error:  # Keras has no one way to say that there is no graph
        raise SurgeonError(
            f"{model.name!r} is not a functional model", "save one that is built from an Input, layer by layer"
        ) from error


def _is_channels_first(layer: Any) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def _spell(shape: Any) -> str:
    """Returns a shape without the batch, with ``?`` for what is unknown."""
    return f"({', '.join('?' if side is None else str(side) for side in tuple(shape)[1:])})"
