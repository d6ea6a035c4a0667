"""A CSV file with a row for each image."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from surgeon.catalogue.entry import Parameters, column, path
from surgeon.catalogue.sources.listing import (
    LabelledImage,
    Listing,
    SourceSpec,
    complete_listing,
    readable_name,
    unreadable,
)
from surgeon.catalogue.sources.split_names import SPLITS, split_called
from surgeon.cells import unmarked
from surgeon.errors import Location, SurgeonError, did_you_mean, quote
from surgeon.files import read_regular
from surgeon.text import first_few

_MOST_BYTES = 1 << 30
_SUFFIXES = (".csv", ".tsv", ".txt")
_NAMED = 5  # columns in a message
_MOST_PROBLEMS = 20  # that are said one by one
_LABELS = ("label", "labels", "class", "class_name", "category", "target", "species", "breed", "diagnosis", "dx")
_LOOKED_AT = 50  # rows whose cells are tried as paths
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class _RowError(Exception):
    """A row that cannot be used; its text says why."""


@dataclass(frozen=True)
class _Table:
    """What is in a CSV file.

    Attributes:
        header: The names of the columns.
        rows: Each row that is not empty, with its place.
    """

    file: Path
    header: tuple[str, ...]
    rows: Iterator[tuple[Location, list[str]]]

    def positions(self, columns: Sequence[str]) -> list[int]:
        """Returns where some columns are.

        Raises:
            SurgeonError: If one is missing, or the header cannot be relied upon.
        """
        # A file that somebody took for a table may hold anything, and its first line is not for everyone to read.
        is_shown = self.file.suffix.casefold() in _SUFFIXES
        listed = ", ".join(map(repr, self.header)) or "missing"
        if not is_shown:
            listed = f"not shown, as it is not called {' or '.join(_SUFFIXES)}"
        for separator, called in _SEPARATORS.items():
            names = [name.strip() for name in ",".join(self.header).split(separator)]
            if len(names) > 1 and (len(self.header) == 1 or set(columns) <= set(names)):
                raise SurgeonError(
                    f"{self.file}:1: its columns are separated by {called}, not by commas"
                    + (f": {','.join(self.header)}" if is_shown else ""),
                    f"save it with commas: pandas.read_csv(old, sep={separator!r}, dtype=str).to_csv(new, index=False)",
                )
        doubled = [name for name, count in Counter(filter(None, self.header)).items() if count > 1]
        if doubled:
            raise SurgeonError(
                f"{self.file}:1: the column {doubled[0]!r} occurs {self.header.count(doubled[0])} times; "
                f"the columns are {listed}",
                "rename or remove all but one",
            )
        for name in columns:
            if name not in self.header:
                raise SurgeonError(
                    f"{self.file}:1: no column {name!r}; its columns are {listed}",
                    did_you_mean(name, self.header) or "name the columns with image_column and label_column",
                )
        return [self.header.index(name) for name in columns]


def _open(file: Path) -> _Table:
    """Reads a CSV file; its rows are parsed as they are asked for.

    Raises:
        SurgeonError: If it cannot be read.
    """
    try:
        text = read_regular(file, _MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise unreadable(file, error) from error
    except ValueError as error:
        raise SurgeonError(f"{file} is not a CSV file in UTF-8: {error}", "save it as CSV UTF-8") from error
    rows = _rows(file, text)
    _, header = next(rows, (None, []))
    return _Table(file, tuple(name.strip() for name in header), rows)


def _rows(file: Path, text: str) -> Iterator[tuple[Location, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise SurgeonError(f"{file}:{line}: not a row of a CSV file: {error}", "check its quotes") from error
        if row is None:
            return
        if row:
            yield Location(str(file), line), row


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    columns = [parameters[key] for key in ("image_column", "label_column", "split_column") if parameters.get(key)]
    table = _open(Path(parameters["path"]))
    positions = table.positions(columns)
    images, problems = [], []
    for location, row in table.rows:
        try:
            images.append(_image(table, row, positions))
        except _RowError as error:
            problems.append(f"{location}: {error}")
    if problems:
        lines = first_few(problems, _MOST_PROBLEMS)
        raise SurgeonError("\n".join(lines), "correct or remove these rows; paths are relative to the CSV file")
    if not images:
        raise SurgeonError(f"{table.file} has no rows", "add a row for each image")
    return complete_listing(images)


def _image(table: _Table, row: Sequence[str], positions: Sequence[int]) -> LabelledImage:
    """Returns the image of a row, given where its path, its label and, if there is such a column, its split are."""
    if len(row) != len(table.header):
        raise _RowError(
            f"expected {len(table.header)} cells, found {len(row)}: {quote(','.join(row))}; "
            "a cell with a comma in it needs quotes"
        )
    # pandas leaves a first column without a name; elsewhere what has no name has slipped there.
    if any(cell.strip() for name, cell in list(zip(table.header, row, strict=True))[1:] if not name):
        raise _RowError(f"a cell under a column without a name: {quote(','.join(row))}")
    image, label, *split = (_cell(row, position) for position in positions)
    if not image or not label:
        raise _RowError("a row without a path or without a label")
    if "\0" in image:
        raise _RowError(f"{quote(image)} is not a path")
    path = table.file.parent / image
    try:
        problem = "" if path.is_file() else f"{path} is not a file" if path.exists() else f"there is no file {path}"
    except OSError:
        problem = ""  # reading it says why
    if problem:
        raise _RowError(problem)
    return LabelledImage(_name_of(image), readable_name(label), _split(*split), path)


def _cell(row: Sequence[str], position: int) -> str:
    return unmarked(row[position].strip())


def _name_of(image: str) -> str:
    return readable_name(Path(image).as_posix())


def _split(cell: str | None = None) -> str | None:
    if cell is None:
        return None
    split = split_called(cell)
    if split is None:
        raise _RowError(
            f"unknown split {cell!r}; " + (did_you_mean(cell, SPLITS) or "expected train, validation or test")
        )
    return split


def _classes(parameters: Parameters) -> tuple[str, ...] | None:
    try:
        table = _open(Path(parameters["path"]))
        (position,) = table.positions([parameters["label_column"]])
        return tuple(sorted({readable_name(_cell(row, position)) for _, row in table.rows})) or None
    except (SurgeonError, IndexError):
        return None  # what is wrong is said when the images are read


def _cells(parameters: Parameters, name: str) -> list[str]:
    table = _open(Path(parameters["path"]))
    at_image, at_cell = table.positions([parameters["image_column"], name])
    rows = [(_name_of(_cell(row, at_image)), _cell(row, at_cell)) for _, row in table.rows]
    return [cell for _, cell in sorted(rows, key=itemgetter(0))]  # rows of one image stay in their order, as listed


def likely_columns(file: Path) -> dict[str, str]:
    """Returns which columns a table is to be read by, as the parameters that name them.

    The one in which most of the first rows have the path of a file is that of the images; that of the labels goes by
    its name or, if only one has values that come again, by that.

    Raises:
        SurgeonError: If it cannot be read, no column has paths of files, or which one has the labels cannot be told.
    """
    table = _open(file)
    table.positions(table.header[:1])  # of other separators, and of columns that are there twice, is told first
    rows = [row for _, row in table.rows if len(row) == len(table.header)]
    columns = {name: [_cell(row, at) for row in rows] for at, name in enumerate(table.header) if name}
    files = {name: sum(_is_file(file.parent, cell) for cell in cells[:_LOOKED_AT]) for name, cells in columns.items()}
    image = max(files, key=files.__getitem__, default="")
    if not files.get(image):
        raise SurgeonError(
            f"no column of {file} has paths of existing files", "paths are relative to it; correct them, or move it"
        )
    others = {name: cells for name, cells in columns.items() if name != image}
    split = next(
        (name for name, cells in others.items() if len(set(cells)) > 1 and all(map(split_called, cells))), None
    )
    named = {name.casefold(): name for name in others if name != split}
    repeated = [name for name in named.values() if 1 < len(set(others[name])) <= len(rows) / 2]
    label = next((named[name] for name in _LABELS if name in named), repeated[0] if len(repeated) == 1 else None)
    if label is None:
        candidates = ", ".join(first_few(map(quote, repeated or named.values()), _NAMED)) or "there is no other column"
        raise SurgeonError(
            f"cannot tell which column of {file} has the labels: {candidates}",
            f"call it 'label', or name it in a recipe: data.source: {{csv: {{path: {file.name}, "
            f"image_column: {image}, label_column: ...}}}}",
        )
    return {"image_column": image, "label_column": label, **({"split_column": split} if split else {})}


def _is_file(folder: Path, cell: str) -> bool:
    try:
        return bool(cell) and (folder / cell).is_file()
    except (OSError, ValueError):  # what is no path
        return False


SPEC = SourceSpec(
    name="csv",
    summary="A CSV file with a row for each image: its path, its label and, optionally, its split.",
    parameters={
        "path": path("The CSV file, in UTF-8; image paths in it are relative to it."),
        "image_column": column("The column of image paths.", default="path"),
        "label_column": column("The column of class names.", default="label"),
        "split_column": column("The column that says train, validation or test."),
    },
    required=("path",),
    shorthand="path",
    read=_read,
    classes=_classes,
    splits=lambda parameters: "split_column" in parameters,
    column=_cells,
)
