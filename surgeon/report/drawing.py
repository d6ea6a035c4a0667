"""A network as a row of cells per phase, for ``drawing`` of ``parts.html.j2``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surgeon.recipe.network import Network


@dataclass(frozen=True, eq=False)
class Phase:
    """What a phase does with each layer.

    Attributes:
        states: ``frozen`` or ``trained`` and so on, by the names of layers with weights.
        kept: The layers whose output was computed once per image: the frontier.
    """

    name: str
    states: Mapping[str, str]
    kept: Sequence[str]


def draw_phase(network: Network, phase: Phase) -> dict[str, Any]:
    """Returns a phase as a row of cells, one per layer."""
    cells = [
        {
            "state": phase.states.get(row.name, "plain").split(",")[0],
            "kept": row.name in phase.kept,
            "is_head": row.index > network.cut,
            "title": f"{row.index} {row.name} ({row.kind}), {' x '.join(map(str, row.shape))}"
            + (f", {phase.states[row.name]}" if row.name in phase.states else "")
            + (", computed once per image" if row.name in phase.kept else ""),
        }
        for row in network.rows
    ]
    return {"name": phase.name, "cells": cells, "kept": ", ".join(phase.kept) or "the decoded image"}
