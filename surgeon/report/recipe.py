"""What a recipe says, and what it may name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from surgeon.catalogue.backbones import BackboneSpec
from surgeon.report.terminal import keep_whole, table

if TYPE_CHECKING:
    from surgeon.catalogue.entry import Entry


def values_table(values: Mapping[str, tuple[Any, str]]) -> Table:
    """Renders a resolved recipe: each value by its path, with where it comes from."""
    made = table("recipe", "value", "is", "from")
    for path, (value, origin) in values.items():
        style = "dim" if origin == "default" else ""
        made.add_row(path, str(value), origin, style=style)
    keep_whole(made, "value")
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


def entries_table(entries: Mapping[str, Entry]) -> Table:
    """Renders the entries of a catalogue."""
    backbones = [entry for entry in entries.values() if isinstance(entry, BackboneSpec)]
    if backbones:
        return _backbones_table(backbones)
    made = table(None, "name", "parameters", "", *_packages(entries.values()))
    first, *others = entries.values()
    optional = (name for name in first.parameters if name not in first.required)
    shared = [name for name in optional if others and all(name in other.parameters for other in others)]
    for entry in entries.values():
        required = [name for name in entry.parameters if name in entry.required]
        own = [f"[{name}]" for name in entry.parameters if name not in (*entry.required, *shared)]
        made.add_row(entry.name, " ".join(required + own), entry.summary, entry.package)
    keep_whole(made, "name")
    if shared:
        made.caption, made.caption_justify = f"Each also takes {' '.join(f'[{name}]' for name in shared)}.", "left"
    return made


def _backbones_table(backbones: Sequence[BackboneSpec]) -> Table:
    columns = ("name", "pixels", "at least", "preprocessing", "", *_packages(backbones))
    made = table(None, *columns, numbers=("pixels", "at least"))
    for spec in backbones:
        sizes = (str(spec.image_size), str(spec.min_image_size))
        made.add_row(spec.name, *sizes, spec.preprocessing, spec.summary.replace("`", ""), spec.package)
    keep_whole(made, "name")
    return made


def _packages(entries: Iterable[Entry]) -> list[str]:
    """Returns the column of the packages that entries come from, if any is not surgeon's own."""
    return ["package"] if any(entry.package for entry in entries) else []


def entry_table(entry: Entry) -> Table:
    """Renders the parameters of one entry."""
    origin = f" (of the package {entry.package})" if entry.package else ""
    made = table(f"{entry.name}: {entry.summary}{origin}", "parameter", "default", "")
    for name, schema in entry.parameters.items():
        default = "required" if name in entry.required else str(schema.get("default", ""))
        options = f" One of {', '.join(schema['enum'])}." if "enum" in schema else ""
        made.add_row(name, default, schema["description"] + options)
    return made
