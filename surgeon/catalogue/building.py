"""Backbones as networks, and their layer tables, which for want of a file are those of the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surgeon.catalogue.layer_table import LayerTable, read_table, tabulate
from surgeon.catalogue.model_file import image_sides, on_images
from surgeon.errors import SurgeonError
from surgeon.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from surgeon.catalogue.backbones import BackboneSpec


def load_table(spec: BackboneSpec, image_size: tuple[int, int]) -> LayerTable:
    """Returns the layers of a backbone for images of ``image_size`` (height, width).

    Raises:
        SurgeonError: If it has no file of them, and cannot be built.
    """
    if spec.layer_table is None:
        return tabulate(build_graph(spec, image_size))
    return read_table(spec.layer_table, image_size)


def build_graph(spec: BackboneSpec, image_size: tuple[int, int]) -> Any:
    """Builds a backbone without its top as :func:`on_images` returns the model of a file.

    Raises:
        SurgeonError: If it cannot be built for images of that size, or cannot be used.
    """
    load_tensorflow()
    import keras

    keras.utils.clear_session(free_memory=False)  # automatic names start from the beginning, as when it is trained
    model = build(spec, image_size, include_top=False)
    image_sides(model)
    graph = on_images(model, image_size)
    graph.name = spec.name
    return graph


def build(spec: BackboneSpec, image_size: tuple[int, int], *, include_top: bool) -> Any:
    """Builds a backbone, with its weights at random.

    Raises:
        SurgeonError: If that fails, or if the network of a run with such layers could not be opened again.
    """
    import keras

    try:
        model = spec.build((*image_size, 3), include_top)
    except Exception as error:  # what a package builds raises whatever it pleases
        reason = " ".join(str(error).split())[:300]
        size = f"{image_size[0]} x {image_size[1]} pixels"
        raise SurgeonError(
            f"{spec.name} cannot be built for images of {size}: {reason}", "give another data.image_size"
        ) from error
    if not isinstance(model, keras.Model):
        raise SurgeonError(f"{spec.name} is built as {type(model).__name__}", "build has to return a functional model")
    for layer in model._flatten_layers(include_self=False):
        if not type(layer).__module__.startswith("keras.") or isinstance(layer, keras.layers.Lambda):
            raise SurgeonError(
                f"layer {layer.name!r} of {spec.name} is a {type(layer).__name__}, which cannot be opened again",
                "a backbone has to be made of Keras' own layers, other than Lambda",
            )
    return model
