"""Where a network can be cut."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgeon.catalogue.layer_table import LayerRow
    from surgeon.recipe.network import Network

_MERGING = frozenset(
    {"Add", "Average", "Concatenate", "CustomScaleLayer", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"}
)
_GATES = frozenset({"Dot", "Multiply"})  # as in squeeze and excitation, within a block
# What puts out its input again, or rests unless it is trained.
_PASSING = frozenset({"Dropout", "GaussianNoise", "InputLayer", "Normalization", "Rescaling", "SpatialDropout2D"})
_PADDING = frozenset({"ZeroPadding2D"})  # without weights, and yet a part of the layer after it


def all_cuts(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Returns those of a network's layers that put out feature maps or vectors of their own."""
    return [row for row in rows if row.kind not in _PASSING | _PADDING and len(row.shape) in (1, 3)]


def block_ends(backbone: Sequence[LayerRow]) -> list[LayerRow]:
    """Returns those of a network's layers with which its blocks end.

    What follows such a layer knows of what is before it by its output alone. In a network with branches a block ends
    where they have met again, or where the next residual connection begins; in one without, where the resolution
    falls. Layers without weights that follow belong to the block. Where all cells of a network look at the two before
    them, as in NASNet, they end with their concatenations. The last layer that can be cut at always ends a block.
    """
    rows = _with_sums(backbone)
    narrow = [row for row in _narrow(rows) if row.kind not in _PADDING]
    joining = {row.index for row in rows if len(row.inputs) > 1 and row.kind not in _GATES}
    skipped = {index for row in rows if row.index in joining for index in row.inputs}
    if joining:
        ends = {row.index for row in narrow if row.index in joining | skipped}
    else:
        ends = {
            row.index
            for row, after in itertools.pairwise(narrow)
            if len(after.shape) == 3 and after.shape[0] < row.shape[0]
        }
    found = {_whole(narrow[at:]).index for at, row in enumerate(narrow) if row.index in ends}
    if not found - {rows[-1].index}:
        found = {row.index for row in rows if row.kind == "Concatenate"}
    cuts = all_cuts(backbone)
    return [row for row in cuts if row.index in found or row is cuts[-1]]


def _with_sums(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Returns the rows with sums that are no layers (``+``) as what the last layer before them does.

    A layer that cannot merge several inputs has but one: the sum of them, or of what was summed up before.
    """
    inputs = {row.index: row.inputs for row in rows}
    for row in rows:
        if len(row.inputs) > 1 and row.kind not in _MERGING:
            *others, last = row.inputs
            summed = {index for other in others for index in inputs[other]}
            inputs[last] = tuple(sorted({*inputs[last], *others} - summed))
            inputs[row.index] = (last,)
    return [replace(row, inputs=inputs[row.index]) for row in rows]


def _narrow(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Returns the rows by whose output alone later rows know of earlier ones."""
    last_use = {row.index: row.index for row in rows}
    for row in rows:
        for index in row.inputs:
            last_use[index] = row.index
    found, reach = [], 0
    for row in rows:
        if reach <= row.index:
            found.append(row)
        reach = max(reach, last_use[row.index])
    return found


def _whole(narrow: Sequence[LayerRow]) -> LayerRow:
    """Returns the last of the layers without weights that follow the first one directly, or that one."""
    before = end = narrow[0]
    for row in narrow[1:]:
        if row.trainable + row.fixed or row.inputs != (before.index,):
            break
        before, end = row, end if row.kind in _PASSING | _PADDING else row
    return end


@dataclass(frozen=True)
class Depth:
    """What is trained from one layer on.

    Attributes:
        start: The first of them.
        block: Those that the next shallower depth does not train.
    """

    start: LayerRow
    trainable: tuple[str, ...]
    block: tuple[str, ...]


def depths_of(network: Network) -> list[Depth]:
    """Returns from where a network can be trained, block by block, from the head alone to all layers."""
    ends = {row.index for row in block_ends(network.backbone)} | {network.cut}
    found: list[Depth] = []
    for after, until in itertools.pairwise([network.rows[-1].index, *sorted(ends, reverse=True), -1]):
        rows = [row for row in network.rows if row.index > until and row.trainable]
        block = tuple(row.name for row in rows if row.index <= after)
        if block:
            found.append(Depth(rows[0], tuple(row.name for row in rows), block))
    return found


def starts_to_try(network: Network, count: int, own: object) -> list[str]:
    """Returns from where a search trains a network, as a recipe spells it, from the last to the first.

    Args:
        network: The network.
        count: Of the starts that are spread over it; fewer if it has fewer blocks.
        own: What the recipe trains, which is among them if that is everything from the start of a block on.
    """
    every = [f"{network.spell(depth.start)}.." for depth in depths_of(network)[1:]]
    step = max(1, len(every) // count)
    spread = every[step - 1 :: step][:count]
    return [start for start in every if start in spread or start == own]
