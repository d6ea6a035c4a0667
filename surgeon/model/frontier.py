"""Where the frozen prefix of a network ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from surgeon.catalogue.layer_table import LayerRow


def frozen_prefix(rows: Sequence[LayerRow], trained: Collection[str]) -> frozenset[str]:
    """Returns the names of the layers that no training step can change the output of.

    These are the layers that are not trained and depend on no layer that is.

    Args:
        rows: The network, every layer behind those that feed it.
        trained: Names of the layers whose weights are trained.
    """
    frozen: dict[int, str] = {}
    for row in rows:
        if row.name not in trained and all(index in frozen for index in row.inputs):
            frozen[row.index] = row.name
    return frozenset(frozen.values())
