"""Networks, layer by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from surgeon.report.terminal import keep_whole, styled, table

if TYPE_CHECKING:
    from rich.text import Text

    from surgeon.catalogue.layer_table import LayerRow, LayerTable
    from surgeon.recipe.network import Network

_STATE_STYLES = {"frozen": "cyan", "trained": "bold green", "trained, inference": "green"}


def layer_table(layers: LayerTable) -> Table:
    """Renders a backbone: every layer, a line where the top begins, the default cut."""
    made = _layers(None)
    for row in layers.rows:
        is_last = row.index == layers.top - 1
        made.add_row(*_layer_cells(row), style="dim" if row.index >= layers.top else "", end_section=is_last)
    cut, top = layers.rows[layers.top - 1], layers.rows[layers.top :]
    begins = f"The top begins at {top[0].index} ({top[0].name})" if top else "It has no top"
    made.caption = f"{begins}; the default cut is after layer {cut.index} ({cut.name})."
    made.caption_justify = "left"
    keep_whole(made, "name")
    return made


def network_table(
    network: Network,
    states: Mapping[str, Mapping[str, str]],
    scales: Mapping[str, Mapping[str, float]],
    kept: Mapping[str, Collection[str]],
) -> Table:
    """Renders a composed network with the cut as a line and a column per phase.

    Args:
        network: The rows.
        states: For each phase the state of each layer that has weights.
        scales: For each phase what its learning rate is multiplied by for each layer that it trains.
        kept: For each phase the layers whose output is computed once and kept: its frontier.
    """
    made = _layers(None)
    for phase in states:
        made.add_column(phase)
    for row in network.rows:
        cells = [
            _state_cell(states[phase].get(row.name), scales[phase].get(row.name, 1.0), row.name in kept[phase])
            for phase in states
        ]
        made.add_row(*_layer_cells(row), *cells)
        if row.index == network.cut:
            made.add_row("", styled(("--- cut ---", "bold red")))
    trainable = sum(row.trainable for row in network.rows)
    made.caption = (
        f"{network.name} is cut after layer {network.cut}; the head begins at layer {network.cut + 1}. "
        f"{trainable + sum(row.fixed for row in network.rows):,} parameters. "
        "Outputs marked `kept` are computed once per image; each phase starts from them."
    )
    made.caption_justify = "left"
    keep_whole(made, "name")
    return made


def _state_cell(state: str | None, scale: float, is_kept: bool) -> Text:
    parts = [(state, _STATE_STYLES[state])] if state else []
    if scale != 1.0:
        parts.append((f"lr x {scale:.3g}", "green"))
    kept = [("kept", "bold magenta")] if is_kept else []
    return styled(*parts, *kept, separator=", ")


def _layers(title: str | None) -> Table:
    return table(
        title, "index", "name", "class", "output shape", "parameters", numbers=("index", "output shape", "parameters")
    )


def _layer_cells(row: LayerRow) -> tuple[str, ...]:
    shape = " x ".join(map(str, row.shape))
    return str(row.index), row.name, row.kind, shape, f"{row.trainable + row.fixed:,}"
