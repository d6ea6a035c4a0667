"""Writes ``schemas/layers``: each backbone is built and its layers are told as a function of the image's size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import keras

from surgeon.catalogue.backbones import BackboneSpec
from surgeon.catalogue.layer_table import Extent, LayerRow, tabulate

if TYPE_CHECKING:
    from collections.abc import Sequence

_WINDOWS = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D", "AveragePooling2D"}


def layer_table_text(spec: BackboneSpec) -> str:
    """Builds a backbone and returns the JSON text of its table, one layer a line."""
    whole = _build(spec, spec.image_size, include_top=True)
    # A power of two more changes the parity of the maps at one depth, and with it padding that depends on it.
    others = [_build(spec, spec.image_size + more, include_top=False) for more in (1, 2, 4, 8, 16)]
    top = _common_prefix([layer.name for layer in whole.layers], [layer.name for layer in others[0].layers])
    rows = tabulate(whole).rows
    extents: dict[int, Extent] = {}
    for row in rows:
        if len(row.shape) == 3:
            models = [whole, *others] if row.index < top else [whole]
            inputs = [extents[index] for index in row.inputs if index in extents]
            extents[row.index] = _extent([model.layers[row.index] for model in models], inputs)
            _prove(extents[row.index], models, row)
    lines = ",\n".join(f"  {json.dumps(_line(row, extents.get(row.index)))}" for row in rows)
    head = f'"backbone": {json.dumps(spec.name)}, "image_size": {spec.image_size}, "top": {top}'
    return f'{{{head}, "layers": [\n{lines}\n]}}\n'


def _build(spec: BackboneSpec, side: int, include_top: bool) -> Any:
    keras.utils.clear_session()  # so that automatic names start from the beginning
    return spec.build((side, side, 3), include_top)


def _common_prefix(names: Sequence[str], others: Sequence[str]) -> int:
    pairs = enumerate(zip(names, others, strict=False))
    return next((at for at, (name, other) in pairs if name != other), len(others))


def _prove(extent: Extent, models: Sequence[Any], row: LayerRow) -> None:
    for model in models:
        side, found = model.input_shape[1], model.layers[row.index].output.shape[1]
        if extent(side) != found:
            raise ValueError(f"{model.name} at {side} px: {row.name} is {found}, not {extent(side)}")


def _line(row: LayerRow, extent: Extent | None) -> dict[str, Any]:
    shape: list[Any] = list(row.shape)
    if extent is not None:
        side = [extent.stride, extent.shift, extent.offset, extent.factor]
        shape[0] = shape[1] = side if extent.factor else extent.offset
    return {
        "name": row.name,
        "class": row.kind,
        "inputs": list(row.inputs),
        "shape": shape,
        "parameters": [row.trainable, row.fixed],
    }


def _extent(layers: Sequence[Any], inputs: Sequence[Extent]) -> Extent:
    """Returns the extent of a layer's output; ``layers`` is the same layer behind several image sizes."""
    layer, *others = layers
    kind = type(layer).__name__
    if kind == "InputLayer":
        return Extent()
    if not inputs or kind == "Reshape" or "Global" in kind:
        return Extent(factor=0, offset=layer.output.shape[1])
    # Of several inputs, one that is only a pixel wide is broadcast against the others.
    side = next((extent for extent in inputs if extent.factor), inputs[0])
    if kind == "ZeroPadding2D":
        (before, after), _ = layer.padding
        depends_on_parity = any(other.padding != layer.padding for other in others)
        side = side.padded_to_even(2 * after + 1) if depends_on_parity else side.padded(before + after)
    elif kind == "Cropping2D":
        side = side.padded(-sum(layer.cropping[0]))
    elif kind == "Sequential":
        for inner in layer.layers:
            side = _extent([inner], [side])
    elif kind in _WINDOWS:
        side = _window(layer, side)
    return side


def _window(layer: Any, side: Extent) -> Extent:
    stride = layer.strides[0]
    if layer.padding == "same":
        return side.strided(stride - 1, stride)
    size = layer.pool_size[0] if hasattr(layer, "pool_size") else layer.kernel_size[0]
    dilation = getattr(layer, "dilation_rate", (1, 1))[0]
    return side.strided(stride - dilation * (size - 1) - 1, stride)
