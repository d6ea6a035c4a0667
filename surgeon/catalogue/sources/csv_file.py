"""A CSV file with a row for each image."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from surgeon.catalogue.entry import Parameters, Schema, path
from surgeon.catalogue.sources.listing import (
    LabelledImage,
    Listing,
    SourceSpec,
    complete_listing,
    readable_name,
    unreadable,
)
from surgeon.catalogue.sources.split_names import SPLIT_SPELLINGS, SPLITS
from surgeon.cells import unmarked
from surgeon.errors import Location, SurgeonError, did_you_mean


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    file = Path(parameters["path"])
    columns = [parameters["image_column"], parameters["label_column"]]
    if parameters.get("split_column") is not None:
        columns.append(parameters["split_column"])
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            _check_columns(file, columns, reader.fieldnames or ())
            images = [
                _csv_image(Location(str(file), reader.line_num), [row[column] for column in columns]) for row in reader
            ]
    except OSError as error:
        raise unreadable(file, error) from error
    except (ValueError, csv.Error) as error:
        raise SurgeonError(f"{file} is not a CSV file in UTF-8: {error}", "save it as CSV UTF-8") from error
    return complete_listing(images, 0, file, "add a row for each image")


def _classes(parameters: Parameters) -> tuple[str, ...] | None:
    column = parameters["label_column"]
    try:
        with Path(parameters["path"]).open(encoding="utf-8-sig", newline="") as opened:
            labels = {readable_name(unmarked((row[column] or "").strip())) for row in csv.DictReader(opened)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError):
        return None  # what is wrong is said when the images are read
    return tuple(sorted(labels)) or None


def _check_columns(file: Path, columns: Iterable[str], found: Iterable[str]) -> None:
    listed = ", ".join(map(repr, found)) or "missing"
    for column in columns:
        if column not in found:
            raise SurgeonError(
                f"{file} has no column {column!r}; its columns are {listed}",
                did_you_mean(column, found) or "name its columns with image_column, label_column and split_column",
            )


def _csv_image(location: Location, cells: list[str | None]) -> LabelledImage:
    """Returns the image of a row, given its path, its label and, where there is such a column, its split."""
    image, label, *split = (unmarked((cell or "").strip()) for cell in cells)
    if not image or not label:
        raise SurgeonError(f"{location}: a row without a path or without a label", "fill it in or remove it")
    path = Path(location.file).parent / image
    if not path.is_file():
        raise SurgeonError(f"{location}: there is no file {path}", "paths are relative to the CSV file")
    return LabelledImage(
        readable_name(Path(image).as_posix()),
        readable_name(label),
        _csv_split(location, split[0]) if split else None,
        path,
    )


def _csv_split(location: Location, found: str) -> str:
    if found.casefold() not in SPLIT_SPELLINGS:
        raise SurgeonError(
            f"{location}: unknown split {found!r}; expected train, validation or test",
            did_you_mean(found, SPLITS) or "correct it, or leave out split_column",
        )
    return SPLIT_SPELLINGS[found.casefold()]


def _column(description: str, **default: str) -> Schema:
    return {"description": description, "type": "string", "minLength": 1, **default}


SPEC = SourceSpec(
    name="csv",
    summary="A CSV file with a row for each image: its path, its label and, if you like, its split.",
    parameters={
        "path": path("The CSV file, in UTF-8; image paths in it are relative to it."),
        "image_column": _column("The column of image paths.", default="path"),
        "label_column": _column("The column of class names.", default="label"),
        "split_column": _column("The column that says train, validation or test."),
    },
    required=("path",),
    shorthand="path",
    read=_read,
    classes=_classes,
    splits=lambda parameters: "split_column" in parameters,
)
