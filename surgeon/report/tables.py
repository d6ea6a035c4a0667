"""Results and plans as rich tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from surgeon.catalogue.backbones import BackboneSpec
from surgeon.results import figure

if TYPE_CHECKING:
    from surgeon.catalogue.entry import Entry
    from surgeon.catalogue.layer_table import LayerRow, LayerTable
    from surgeon.recipe.network import Network
    from surgeon.results import Evaluation, RunResult

_STATE_STYLES = {"frozen": "cyan", "trained": "bold green", "trained, inference": "green"}


def table(title: str | None, *columns: str, numbers: Iterable[str] = ()) -> Table:
    """Returns an empty table in the house's style; the columns in ``numbers`` are aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    right = set(numbers)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left")
    return made


def layer_table(layers: LayerTable) -> Table:
    """Renders a backbone: every layer, a line where the top begins, the default cut."""
    made = _layers(None)
    for row in layers.rows:
        is_last = row.index == layers.top - 1
        made.add_row(*_layer_cells(row), style="dim" if row.index >= layers.top else "", end_section=is_last)
    cut, top = layers.rows[layers.top - 1], layers.rows[min(layers.top, len(layers.rows) - 1)]
    made.caption = f"The top begins at {top.index} ({top.name}); the default cut is {cut.index} ({cut.name})."
    made.caption_justify = "left"
    return made


def network_table(
    network: Network, states: Mapping[str, Mapping[str, str]], kept: Mapping[str, Collection[str]]
) -> Table:
    """Renders a composed network with the cut as a line and a column a phase.

    Args:
        network: The rows.
        states: For each phase the state of each layer that has weights.
        kept: For each phase the layers whose output is computed once and kept: its frontier.
    """
    made = _layers(None)
    for phase in states:
        made.add_column(Text(phase))
    for row in network.rows:
        cells = [_state_cell(states[phase].get(row.name), row.name in kept[phase]) for phase in states]
        made.add_row(*_layer_cells(row), *cells)
        if row.index == network.cut:
            made.add_row("", Text("--- cut ---", style="bold red"))
    trainable = sum(row.trainable for row in network.rows)
    made.caption = (
        f"{network.name} is cut after {network.cut}; the head begins at {network.cut + 1}. "
        f"{trainable + sum(row.fixed for row in network.rows):,} parameters. "
        "What is kept is computed once an image; each phase trains what lies behind it."
    )
    made.caption_justify = "left"
    return made


def _state_cell(state: str | None, is_kept: bool) -> Text:
    parts = [(state, _STATE_STYLES[state])] if state else []
    kept = [("kept", "bold magenta")] if is_kept else []
    return Text(", ").join(Text(*part) for part in parts + kept)


def _layers(title: str | None) -> Table:
    return table(
        title, "index", "name", "class", "output shape", "parameters", numbers=("index", "output shape", "parameters")
    )


def _layer_cells(row: LayerRow) -> tuple[str, ...]:
    shape = " x ".join(map(str, row.shape))
    return str(row.index), row.name, row.kind, shape, f"{row.trainable + row.fixed:,}"


def classification_table(evaluation: Evaluation, title: str) -> Table:
    """Renders the table of the story: precision, recall, F1 and support of each class, then the averages."""
    measures = ("precision", "recall", "f1-score", "support")
    made = table(title, "class", *measures, numbers=measures)
    last = evaluation.classes[-1]
    for name in evaluation.classes:
        made.add_row(name, *_measures(evaluation.report[name]), end_section=name == last)
    total = evaluation.report["weighted avg"]["support"]
    made.add_row("accuracy", "", "", f"{evaluation.accuracy:.2f}", f"{total:.0f}")
    for average in ("macro avg", "weighted avg"):
        made.add_row(average, *_measures(evaluation.report[average]))
    return made


def _measures(values: Mapping[str, float]) -> list[str]:
    return [*(f"{values[name]:.2f}" for name in ("precision", "recall", "f1-score")), f"{values['support']:.0f}"]


def methods_table(result: RunResult) -> Table:
    """Renders the trained network beside the linear probe and what the recipe's author measured."""
    names = ("accuracy", "macro_f1", "weighted_f1")
    made = table(None, "method", *names, numbers=names)
    for method, evaluation in (("network", result.evaluation), ("linear probe", result.linear_probe)):
        if evaluation is not None:
            made.add_row(method, *(f"{figure(evaluation, name):.4f}" for name in names))
    if result.expected:
        expected = [f"{result.expected[name]:.4f}" if name in result.expected else "" for name in names]
        made.add_row("expected", *expected, style="dim")
    return made


def counts_table(counts: Mapping[str, Mapping[str, int]], classes: Sequence[str]) -> Table:
    """Renders how many images of each class each split has."""
    made = table("images", "class", *counts, "all", numbers=(*counts, "all"))
    for name in classes:
        row = [split[name] for split in counts.values()]
        made.add_row(name, *map(str, row), str(sum(row)), end_section=name == classes[-1])
    totals = [sum(split.values()) for split in counts.values()]
    made.add_row("all", *map(str, totals), str(sum(totals)))
    return made


def phases_table(phases: Sequence[Mapping[str, Any]]) -> Table:
    """Renders what each phase trains, how many steps it takes, what is kept for it and what it computes."""
    numbers = ("trained", "frozen", "epochs", "steps", "KB an image", "GMA once", "GMA an epoch")
    made = table("phases", "phase", "optimizer", "lr", *numbers[:4], "kept", *numbers[4:], numbers=numbers)
    for phase in phases:
        made.add_row(
            phase["name"],
            phase["optimizer"],
            phase["lr"],
            *(f"{phase[column]:,}" for column in ("trained", "frozen", "epochs", "steps")),
            ", ".join(phase["kept"]),
            f"{phase['kept_bytes_an_image'] / 1e3:,.0f}",
            *(f"{phase[f'multiply_adds_{when}'] / 1e9:,.0f}" for when in ("once", "an_epoch")),
        )
    made.caption = "GMA: thousand million multiply-adds for all training images."
    made.caption_justify = "left"
    return made


def values_table(values: Mapping[str, tuple[Any, str]]) -> Table:
    """Renders a resolved recipe: each value by its path, with where it comes from."""
    made = table("recipe", "value", "is", "from")
    for path, (value, origin) in values.items():
        style = "dim" if origin == "default" else ""
        made.add_row(path, Text(str(value)), Text(origin), style=style)
    return made


def entries_table(entries: Mapping[str, Entry]) -> Table:
    """Renders the entries of a catalogue."""
    backbones = [entry for entry in entries.values() if isinstance(entry, BackboneSpec)]
    if backbones:
        return _backbones_table(backbones)
    made = table(None, "name", "parameters", "")
    for entry in entries.values():
        required = [name for name in entry.parameters if name in entry.required]
        optional = [f"[{name}]" for name in entry.parameters if name not in entry.required]
        made.add_row(entry.name, Text(" ".join(required + optional)), Text(entry.summary))
    return made


def _backbones_table(backbones: Sequence[BackboneSpec]) -> Table:
    made = table(None, "name", "family", "pixels", "at least", "preprocessing", "", numbers=("pixels", "at least"))
    for spec in backbones:
        sizes = (str(spec.image_size), str(spec.min_image_size))
        made.add_row(spec.name, spec.group, *sizes, spec.preprocessing, Text(spec.summary.replace("`", "")))
    return made


def entry_table(entry: Entry) -> Table:
    """Renders the parameters of one entry."""
    made = table(f"{entry.name}: {entry.summary}", "parameter", "default", "")
    for name, schema in entry.parameters.items():
        default = "required" if name in entry.required else str(schema.get("default", ""))
        options = f" One of {', '.join(schema['enum'])}." if "enum" in schema else ""
        made.add_row(name, Text(default), Text(schema["description"] + options))
    return made
