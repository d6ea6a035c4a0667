"""What a benchmark found: a table, ratios, remarks, and everything that was measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from machine import describe_machine
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).resolve().parent / "results"
Cell = str | float | None


@dataclass(frozen=True)
class Outcome:
    """The result of a benchmark.

    Attributes:
        name: Of its script.
        compared: What was compared with what, in a sentence or two.
        rows: The table, a row as long as ``columns``; None is a cell that has no meaning.
        ratios: How many times longer than surgeon something took, by what it was.
        notes: What a reader has to know to believe the figures.
        raw: All that was measured.
    """

    name: str
    title: str
    compared: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    ratios: Mapping[str, float]
    notes: Sequence[str]
    raw: Mapping[str, Any]


def read_options(description: str, **defaults: int) -> argparse.Namespace:
    """Returns the numbers that a benchmark is run with, from the command line or by default, and ``results``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, metavar="N", help=" ")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the result is written")
    return parser.parse_args()


def publish(outcome: Outcome, options: argparse.Namespace) -> None:
    """Prints the table and writes ``NAME.json``."""
    table = Table(title=outcome.title)
    for at, column in enumerate(outcome.columns):
        table.add_column(column, justify="right" if at else "left", no_wrap=at == 0)
    for row in outcome.rows:
        table.add_row(*map(spell, row))
    console = Console()
    console.print(table)
    for note in outcome.notes:
        console.print(f"· {note}", highlight=False)
    settings = {name: value for name, value in vars(options).items() if name != "results"}
    about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": describe_machine(), "settings": settings}
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / f"{outcome.name}.json"
    file.write_text(json.dumps({**asdict(outcome), **about}, indent=2) + "\n", encoding="utf-8")


def spell(cell: Cell) -> str:
    """Returns a cell as text, a number with three digits or all before the point."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
