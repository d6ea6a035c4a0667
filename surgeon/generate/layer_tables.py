"""Writes ``schemas/layers``: each backbone is built and its layers are told as a function of the image's size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from surgeon.catalogue.backbones import BackboneSpec
from surgeon.catalogue.layer_table import Extent, LayerRow, tabulate

if TYPE_CHECKING:
    from collections.abc import Sequence

_WINDOWS = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D", "AveragePooling2D"}


def layer_table_text(spec: BackboneSpec) -> str:
    """Builds a backbone and returns the JSON text of its table, one layer a line."""
    whole = _build(spec, spec.image_size, include_top=True)
    # An odd side beside the even one tells padding that depends on parity from padding that does not.
    other = _build(spec, spec.image_size + 1 - 2 * (spec.image_size % 2), include_top=False)
    top = _common_prefix([layer.name for layer in whole.layers], [layer.name for layer in other.layers])
    rows = tabulate(whole).rows
    extents = _extents(spec, whole, other, rows, top)
    lines = ",\n".join(f"  {json.dumps(_line(row, extents.get(row.index)))}" for row in rows)
    head = f'"backbone": {json.dumps(spec.name)}, "image_size": {spec.image_size}, "top": {top}'
    return f'{{{head}, "layers": [\n{lines}\n]}}\n'


def _build(spec: BackboneSpec, side: int, include_top: bool) -> Any:
    import keras

    keras.utils.clear_session()  # so that automatic names start from the beginning
    return spec.build((side, side, 3), include_top)


def _common_prefix(names: Sequence[str], others: Sequence[str]) -> int:
    return next((at for at, pair in enumerate(zip(names, others, strict=False)) if pair[0] != pair[1]), len(others))


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


def _extents(spec: BackboneSpec, whole: Any, other: Any, rows: Sequence[LayerRow], top: int) -> dict[int, Extent]:
    """Follows the side of the feature maps through the layers; proves it against both networks."""
    extents: dict[int, Extent] = {}
    for row in rows:
        if len(row.shape) != 3:
            continue
        layer = whole.layers[row.index]
        counterpart = other.layers[row.index] if row.index < top else layer
        inputs = [extents[index] for index in row.inputs if index in extents]
        extent = _extent(layer, counterpart, inputs)
        checks = [(spec.image_size, layer)] + ([(other.input_shape[1], counterpart)] if row.index < top else [])
        for side, built in checks:
            if extent(side) != built.output.shape[1]:
                raise ValueError(f"{spec.name} at {side} px: {row.name} is {built.output.shape[1]}, not {extent(side)}")
        extents[row.index] = extent
    return extents


def _extent(layer: Any, counterpart: Any, inputs: Sequence[Extent]) -> Extent:
    """Returns the extent of a layer's output; ``counterpart`` is the same layer behind another image size."""
    kind = type(layer).__name__
    if kind == "InputLayer":
        return Extent()
    if not inputs or kind == "Reshape" or "Global" in kind:
        return Extent(factor=0, offset=layer.output.shape[1])
    # Of several inputs, one that is only a pixel wide is broadcast against the others.
    side = next((extent for extent in inputs if extent.factor), inputs[0])
    if kind == "ZeroPadding2D":
        (before, after), _ = layer.padding
        depends_on_parity = layer.padding != counterpart.padding
        side = side.padded_to_even(2 * after + 1) if depends_on_parity else side.padded(before + after)
    elif kind == "Cropping2D":
        side = side.padded(-sum(layer.cropping[0]))
    elif kind == "Sequential":
        for inner in layer.layers:
            side = _extent(inner, inner, [side])
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
