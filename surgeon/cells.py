"""CSV files whose cells are text: a spreadsheet runs none as a formula, and a reader has every name back."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

# What spreadsheets take for the start of a formula (OWASP, "CSV injection"), be it marked as text already or not.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def write_rows(file: TextIO, rows: Iterable[Sequence[object]]) -> None:
    """Writes rows; text that begins as a formula does gets an apostrophe, the mark of spreadsheets for text."""
    writer = csv.writer(file)
    for row in rows:
        writer.writerow(_marked(cell) if isinstance(cell, str) else cell for cell in row)


def read_rows(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yields the rows that ``write_rows`` was given, as text."""
    return ([unmarked(cell) for cell in row] for row in csv.reader(lines))


def unmarked(cell: str) -> str:
    """Returns the text of a cell without the mark that it was written with."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _marked(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell
