"""Results and plans as rich tables."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from surgeon.catalogue.backbones import BackboneSpec
from surgeon.catalogue.sources.listing import left_out_lines
from surgeon.report.terminal import styled
from surgeon.results.findings import short_value
from surgeon.results.run import figure
from surgeon.text import first_few

if TYPE_CHECKING:
    from rich.text import Text

    from surgeon.catalogue.entry import Entry
    from surgeon.catalogue.layer_table import LayerRow, LayerTable
    from surgeon.recipe.network import Network
    from surgeon.results.findings import Difference
    from surgeon.results.run import Evaluation, FrozenResult, Measures, RunResult, Spread
    from surgeon.results.use import ExportResult, McNemar, OtherData, Prediction

_SHOWN = 20  # differences of a part
_NAMED = 10  # classes without an image
_STATE_STYLES = {"frozen": "cyan", "trained": "bold green", "trained, inference": "green"}


def table(title: str | None, *columns: str, numbers: Iterable[str] = ()) -> Table:
    """Returns an empty table in the house's style; the columns in ``numbers`` are aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    right = set(numbers)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
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
    """Renders a composed network with the cut as a line and a column per phase.

    Args:
        network: The rows.
        states: For each phase the state of each layer that has weights.
        kept: For each phase the layers whose output is computed once and kept: its frontier.
    """
    made = _layers(None)
    for phase in states:
        made.add_column(phase)
    for row in network.rows:
        cells = [_state_cell(states[phase].get(row.name), row.name in kept[phase]) for phase in states]
        made.add_row(*_layer_cells(row), *cells)
        if row.index == network.cut:
            made.add_row("", styled(("--- cut ---", "bold red")))
    trainable = sum(row.trainable for row in network.rows)
    made.caption = (
        f"{network.name} is cut after {network.cut}; the head begins at {network.cut + 1}. "
        f"{trainable + sum(row.fixed for row in network.rows):,} parameters. "
        "What is kept is computed once per image; each phase trains what follows it."
    )
    made.caption_justify = "left"
    return made


def _state_cell(state: str | None, is_kept: bool) -> Text:
    parts = [(state, _STATE_STYLES[state])] if state else []
    kept = [("kept", "bold magenta")] if is_kept else []
    return styled(*parts, *kept, separator=", ")


def _layers(title: str | None) -> Table:
    return table(
        title, "index", "name", "class", "output shape", "parameters", numbers=("index", "output shape", "parameters")
    )


def _layer_cells(row: LayerRow) -> tuple[str, ...]:
    shape = " x ".join(map(str, row.shape))
    return str(row.index), row.name, row.kind, shape, f"{row.trainable + row.fixed:,}"


def classification_table(evaluation: Evaluation, title: str) -> Table:
    """Renders precision, recall, F1 and support of each class that has an image, then the averages."""
    columns = ("precision", "recall", "f1-score", "support")
    made = table(title, "class", *columns, numbers=columns)
    for name, measures in evaluation.measured:
        made.add_row(name, *_measures(measures))
    made.add_section()
    made.add_row("accuracy", "", "", f"{evaluation.accuracy:.2f}", str(evaluation.weighted.support))
    made.add_row("macro avg", *_measures(evaluation.macro))
    made.add_row("weighted avg", *_measures(evaluation.weighted))
    return made


def _measures(measures: Measures) -> list[str]:
    parts = (measures.precision, measures.recall, measures.f1)
    return [*(f"{part:.2f}" for part in parts), str(measures.support)]


def averages_text(evaluation: Evaluation) -> str | None:
    """Says over which classes the averages are; None if that is over all of them."""
    missing = evaluation.missing
    if not missing:
        return None
    named = ", ".join(first_few(missing, _NAMED))
    return f"no image of {named}; the averages are over the {len(evaluation.measured):,} classes that have images"


def methods_table(result: RunResult) -> Table:
    """Renders the trained network beside the linear probe and what the recipe's author measured."""
    names = ("accuracy", "macro_f1", "weighted_f1")
    made = table(None, "method", *names, numbers=names)
    for method, evaluation in result.methods().items():
        made.add_row(method, *(f"{figure(evaluation, name):.4f}" for name in names))
    if result.expected:
        made.add_row("expected", *(_spread(result.expected.get(name, {})) for name in names), style="dim")
    return made


def _spread(figure: Mapping[str, float]) -> str:
    """Returns a mean with its standard deviation, as far as they are known."""
    return " ± ".join(f"{figure[name]:.4f}" for name in ("mean", "std") if name in figure)


def expectation_text(result: RunResult) -> str | None:
    """Says how far a result is from what the recipe's author measured; None where that is not known."""
    if result.evaluation is None or not result.expected:
        return None
    said = []
    for name, expected in result.expected.items():
        off = figure(result.evaluation, name) - expected["mean"]
        if abs(off) < 5e-5:  # which would show as 0.0000
            said.append(f"{name} is what the author measured")
            continue
        spread = (
            f", {abs(off) / expected['std']:.1f} standard deviations of a change of seed" if expected.get("std") else ""
        )
        said.append(f"{name} is {abs(off):.4f} {'above' if off > 0 else 'below'} what the author measured{spread}")
    return "; ".join(said)


def frozen_text(frozen: FrozenResult) -> str:
    """Returns what the store was good for."""
    done = f"frozen layers: {frozen.known:,} images known, {frozen.computed:,} computed in {frozen.seconds:.0f} s"
    if frozen.saved_seconds is None or frozen.saved_seconds < 0.5:  # which would show as 0 s
        return done
    saved = f"{frozen.saved_seconds / 60:,.0f} min" if frozen.saved_seconds >= 60 else f"{frozen.saved_seconds:.0f} s"
    return f"{done}; without the store the run would have taken about {saved} more"


def spread_table(spreads: Mapping[str, Spread]) -> Table:
    """Renders what runs that differ in their seed came to: a row a figure."""
    columns = ("mean", "std", "min", "max")
    made = table(None, "figure", *columns, numbers=columns)
    for name, spread in spreads.items():
        numbers = (spread.mean, spread.std, min(spread.values), max(spread.values))
        made.add_row(name, *(f"{number:.4f}" for number in numbers))
    return made


def comparison_table(
    runs: Sequence[str], figures: Sequence[Mapping[str, float]], tests: Sequence[McNemar | None]
) -> Table:
    """Renders runs as columns; the tests are each run's against the first, which has none."""
    made = table(None, "", *runs, numbers=runs)
    for row in comparison_rows(figures, tests):
        made.add_row(*row)
    return made


def comparison_rows(figures: Sequence[Mapping[str, float]], tests: Sequence[McNemar | None]) -> list[list[str]]:
    """Returns the rows of such a table: what a row is called, then what each run has there."""
    rows = []
    for name in dict.fromkeys(name for own in figures for name in own):
        form = "{:.4f}" if name.startswith(("network", "linear probe")) else "{:,.0f}"
        rows.append([name, *(form.format(own[name]) if name in own else "" for own in figures)])
    _, *others = tests
    if any(others):
        told = (
            "other test images" if test is None else f"{test.p_value:.3f} ({test.only_first} : {test.only_second})"
            for test in others
        )
        rows.append(["McNemar's p, right alone", "", *told])
    return rows


def export_table(result: ExportResult) -> Table:
    """Renders how an exported network compares with its run."""
    made = table(None, "", result.reference, f"{result.format}{f', {result.quantize}' if result.quantize else ''}")
    if result.accuracy_before is not None:
        before, after = (f"{accuracy:.4f}" for accuracy in (result.accuracy_before, result.accuracy))
        made.add_row(f"accuracy on {result.images:,} {result.split} images", before, after)
    else:
        made.add_row(f"{result.split} images", "", f"{result.images:,}")
    made.add_row("images with another class", "", f"{result.changed_decisions:,}")
    made.add_row("largest difference of a probability", "", f"{result.largest_difference:.2g}")
    made.add_row("size", "", f"{result.size / 1e6:,.1f} MB")
    made.add_row("one image", "", f"{result.seconds_an_image * 1e3:,.1f} ms")
    return made


def predictions_table(predictions: Sequence[Prediction]) -> Table:
    """Renders the likeliest classes of each image, a line per image."""
    made = table(None, "image", "class", "probability", "then", numbers=("probability",))
    for prediction in predictions:
        if prediction.reason is not None:
            made.add_row(prediction.file, styled((prediction.reason, "red")))
            continue
        pairs = list(zip(prediction.classes, prediction.probabilities, strict=True))
        then = ", ".join(f"{name} {probability:.3f}" for name, probability in pairs[1:])
        made.add_row(prediction.file, pairs[0][0], f"{pairs[0][1]:.3f}", styled((then, "dim")))
    return made


def other_data_lines(found: OtherData) -> list[str]:
    """Says which classes could not be matched and which images not read."""
    said = [
        f"{name!r} is not a class of the network; {count:,} images left out" for name, count in found.unknown.items()
    ]
    said += [text] if (text := averages_text(found.evaluation)) else []
    said += [f"{name}: {reason}" for name, reason in found.bad_images.items()]
    return said + list(left_out_lines(found.left_out))


def differences_table(title: str, differences: Sequence[Difference], before: str, after: str) -> Table:
    """Renders what differs, as many of each part as a person reads."""
    made = table(title, "", "", before, after)
    for part, found in itertools.groupby(differences, key=lambda difference: difference.part):
        group = list(found)
        for difference in group[:_SHOWN]:
            values = (difference.before, difference.after)
            made.add_row(part, difference.name, *map(short_value, values))
        if len(group) > _SHOWN:
            made.add_row(part, f"and {len(group) - _SHOWN:,} more", "", "")
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


def values_table(values: Mapping[str, tuple[Any, str]]) -> Table:
    """Renders a resolved recipe: each value by its path, with where it comes from."""
    made = table("recipe", "value", "is", "from")
    for path, (value, origin) in values.items():
        style = "dim" if origin == "default" else ""
        made.add_row(path, str(value), origin, style=style)
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
        made.add_row(entry.name, " ".join(required + optional), entry.summary)
    return made


def _backbones_table(backbones: Sequence[BackboneSpec]) -> Table:
    made = table(None, "name", "family", "pixels", "at least", "preprocessing", "", numbers=("pixels", "at least"))
    for spec in backbones:
        sizes = (str(spec.image_size), str(spec.min_image_size))
        made.add_row(spec.name, spec.group, *sizes, spec.preprocessing, spec.summary.replace("`", ""))
    return made


def entry_table(entry: Entry) -> Table:
    """Renders the parameters of one entry."""
    made = table(f"{entry.name}: {entry.summary}", "parameter", "default", "")
    for name, schema in entry.parameters.items():
        default = "required" if name in entry.required else str(schema.get("default", ""))
        options = f" One of {', '.join(schema['enum'])}." if "enum" in schema else ""
        made.add_row(name, default, schema["description"] + options)
    return made
