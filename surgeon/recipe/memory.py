"""What no machine of this size can hold, however it goes about it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Collection

    from surgeon.catalogue.layer_table import LayerRow
    from surgeon.recipe.network import Network

_VALUE_BYTES = 4  # of a weight, which is float32 with any precision
_NARROW_VALUE_BYTES = 2  # of what a layer puts out, at least


def layers_beyond_memory(network: Network) -> list[tuple[LayerRow, str]]:
    """Returns the layers whose weights, or whose inputs and output for a single image, exceed the memory."""
    rows, memory = {row.index: row for row in network.rows}, psutil.virtual_memory().total
    found = []
    for row in network.rows:
        weights = _VALUE_BYTES * (row.trainable + row.fixed)
        values = sum(math.prod(one.shape) for one in (row, *(rows[index] for index in row.inputs)))
        if weights > memory:
            found.append((row, f"the weights of {row.name!r} take {_spell(weights)}"))
        elif _NARROW_VALUE_BYTES * values > memory:
            found.append((row, f"for one image {row.name!r} takes {_spell(_NARROW_VALUE_BYTES * values)}"))
    return found


def trains_beyond_memory(network: Network, trained: Collection[str]) -> bool:
    """Tells whether all weights, and the gradients of the layers in ``trained``, exceed the memory only together."""
    counts = (row.trainable * (2 if row.name in trained else 1) + row.fixed for row in network.rows)
    return _VALUE_BYTES * sum(counts) > psutil.virtual_memory().total and not layers_beyond_memory(network)


def _spell(size: int) -> str:
    return f"{size / 1e9:,.0f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
