"""What the library ``datasets`` reads from a disk: its own folders, Parquet files, shards of WebDataset."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from surgeon.catalogue.entry import Parameters, column, path
from surgeon.catalogue.sources.listing import (
    LabelledImage,
    Listing,
    SourceSpec,
    classes_or_none,
    complete_listing,
    readable_name,
)
from surgeon.catalogue.sources.split_names import split_called
from surgeon.errors import BadImageError, SurgeonError, did_you_mean, require_modules
from surgeon.files import read_regular
from surgeon.formats import MAX_IMAGE_BYTES, too_large
from surgeon.text import first_few

_LABELS = ("label", "labels", "fine_label", "class", "cls", "category", "target")
_BUILDERS = {".parquet": "parquet", ".tar": "webdataset"}
_NAMED = 8  # columns in a message
_MOST_BYTES = 1 << 24  # of a description


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    tables = _open(Path(parameters["path"]))
    images = []
    for name, table in tables.items():
        image, label = _columns(parameters, table)
        encoded = _encoded(table, image)
        labels = _labels(table, label)
        split = split_called(name) if len(tables) > 1 else None
        images += [
            LabelledImage(f"{name}/{row:08}", readable_name(said), split, data=partial(_content, encoded, image, row))
            for row, said in enumerate(labels)
            if said is not None
        ]
    return complete_listing(images)


def _open(where: Path) -> Mapping[str, Any]:
    """Returns the tables of a data set by the names of its splits.

    Raises:
        SurgeonError: If the library is missing or cannot read it, or some parts say a split and others do not.
    """
    require_modules("this source", ("datasets",), "datasets")
    import datasets

    datasets.disable_progress_bars()
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # it would report to its makers what it reads
    if not where.exists():
        raise SurgeonError(f"there is no {where}", "give a folder, or a Parquet or tar file")
    inside = where.rglob("*") if where.is_dir() else [where]
    files = sorted(file for file in inside if file.suffix.lower() in _BUILDERS or file == where)
    kinds = {file.suffix.lower() for file in files}
    if len(kinds) > 1 or not kinds <= set(_BUILDERS):
        found = ", ".join(sorted(kinds))
        raise SurgeonError(f"{where} holds files of the kinds {found}", "give one kind, .parquet or .tar")
    parts = _by_split(where, files)
    try:
        if files:
            escaped = {split: [glob.escape(str(file)) for file in some] for split, some in parts.items()}
            found = datasets.load_dataset(_BUILDERS[kinds.pop()], data_files=escaped)
        else:
            _check_names(where)
            found = datasets.load_from_disk(str(where))
    except Exception as error:  # it raises whatever the damage happens to hit
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise SurgeonError(
            f"the library `datasets` cannot read {where}: {reason}",
            "give a folder that its save_to_disk wrote, or Parquet files or tar shards of WebDataset",
        ) from error
    tables = found if isinstance(found, dict) else {"train": found}
    if len(tables) > 1:
        _check_splits(where, tables)
    return {name: table.with_format(None) for name, table in tables.items()}


def _check_names(where: Path) -> None:
    """Makes sure that what ``save_to_disk`` wrote names nothing outside of its folder.

    Raises:
        ValueError: If it does.
    """
    named: list[str] = []
    for file in where.rglob("*.json"):
        if file.name in ("state.json", "dataset_dict.json"):
            found = json.loads(read_regular(file, _MOST_BYTES))
            named += [str(data["filename"]) for data in found.get("_data_files", ())] + found.get("splits", [])
    if outside := [name for name in named if name in ("", ".", "..") or set(name) & set("/\\:")]:
        raise ValueError(f"it names {outside[0]!r}, which is not in its folder")


def _by_split(where: Path, files: list[Path]) -> dict[str, list[Path]]:
    """Returns files by the split that their name says or, below a data set's folder, the folder that they are in.

    Raises:
        SurgeonError: If some say a split, and others do not.
    """
    grouped: dict[str, list[Path]] = {}
    for file in files:
        folder = file.parent.name if file.parent not in (where, where.parent) else ""
        said = split_called(file.stem.split("-")[0]) or split_called(folder)
        grouped.setdefault(said or file.name, []).append(file)
    if not any(map(split_called, grouped)):
        return {"train": files}
    _check_splits(where, grouped)
    return grouped


def _check_splits(where: Path, names: Iterable[str]) -> None:
    silent = [name for name in names if split_called(name) is None]
    if silent:
        raise SurgeonError(
            f"{where} has parts with names that say no split, next to others: {', '.join(first_few(silent, _NAMED))}",
            "call them train, validation and test",
        )


def _columns(parameters: Parameters, table: Any) -> tuple[str, str]:
    """Returns the columns of the images and of the labels: those that are named, or that seem to be meant."""
    import datasets

    features = table.features
    listed = ", ".join(first_few(features, _NAMED))
    for key in ("image_column", "label_column"):
        if (name := parameters.get(key)) is not None and name not in features:
            hint = did_you_mean(name, features) or "name one of these"
            raise SurgeonError(f"no column {name!r}; the columns are {listed}", hint)
    pictures = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    classes = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    classes += [name for name in features if name in _LABELS and name not in classes]
    image = parameters.get("image_column") or next(iter(pictures), None)
    label = parameters.get("label_column") or next(iter(classes), None)
    if image is None or label is None:
        missing = "images" if image is None else "labels"
        raise SurgeonError(
            f"cannot tell which of {listed} has the {missing}",
            f"name it in a recipe: data.source: {{hugging_face: {{path: ..., {missing[:-1]}_column: ...}}}}",
        )
    return image, label


def _encoded(table: Any, image: str) -> Any:
    """Returns a table of one column, the images as their files have them."""
    import datasets

    try:
        encoded = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        next(iter(encoded), None)  # what cannot be cast is told by the first row
        return encoded
    except (TypeError, ValueError, NotImplementedError) as error:
        raise SurgeonError(f"the column {image!r} does not hold images", "name another image_column") from error


def _labels(table: Any, label: str) -> list[str | None]:
    """Returns the name of each row's class; None where the row has none."""
    kind = table.features[label]
    values = [None if value is None or value == -1 else value for value in _column_of(table, label)]
    if any(not isinstance(value, str | int | None) for value in values):
        raise SurgeonError(
            f"the column {label!r} does not hold names or numbers of classes", "name another label_column"
        )
    names = getattr(kind, "names", None)
    if names is None:
        return [None if value is None else str(value) for value in values]
    beyond = [value for value in values if value is not None and not 0 <= value < len(names)]
    if beyond:
        raise SurgeonError(
            f"the column {label!r} has the class {beyond[0]}, but only {len(names)} names", "fix the data set"
        )
    return [None if value is None else str(names[value]) for value in values]


def _column_of(table: Any, name: str) -> list[Any]:
    """Returns the cells of a column as they are stored: what is typed as an image is not opened."""
    cells: list[Any] = table.select_columns([name]).with_format("arrow")[:][name].to_pylist()
    if any(isinstance(cell, list | dict) for cell in cells):
        raise SurgeonError(f"the column {name!r} does not hold one value per image", "name another column")
    return cells


def _content(table: Any, image: str, row: int) -> bytes:
    """Returns the bytes of an image.

    Raises:
        BadImageError: If the data set does not hold them; no other file is read, whichever it names.
    """
    found = table[row][image] or {}
    content = found.get("bytes")
    if not content:
        named = found.get("path")
        raise BadImageError(
            "there is no image in this row"
            if not named
            else f"the data set refers to {named} but does not contain it; save_to_disk writes one that does"
        )
    if len(content) > MAX_IMAGE_BYTES:
        raise too_large(f"{len(content):,} bytes")
    return bytes(content)


def _classes(parameters: Parameters) -> tuple[str, ...]:
    tables = _open(Path(parameters["path"])).values()
    labels = {label for table in tables for label in _labels(table, _columns(parameters, table)[1])}
    return tuple(sorted(readable_name(label) for label in labels if label is not None))


def _has_splits(parameters: Parameters) -> bool:
    try:
        return len(_open(Path(parameters["path"]))) > 1
    except SurgeonError:
        return False


def _cells(parameters: Parameters, name: str) -> list[str]:
    cells = []
    tables = _open(Path(parameters["path"]))
    for part, table in sorted(tables.items(), key=lambda item: f"{item[0]}/"):  # as images are
        if name not in table.features:
            hint = did_you_mean(name, table.features)
            raise SurgeonError(f"no column {name!r} in {part}; there are {', '.join(table.features)}", hint)
        said = _labels(table, _columns(parameters, table)[1])
        values = _column_of(table, name)
        cells += [str(value) for value, label in zip(values, said, strict=True) if label is not None]
    return cells


SPEC = SourceSpec(
    name="hugging_face",
    summary="What Hugging Face's `datasets` reads from a disk: a folder that it saved, Parquet, shards of WebDataset.",
    parameters={
        "path": path("What `save_to_disk` wrote, a Parquet file, a tar shard, or a folder of either."),
        "image_column": column("The column of images; by default the first image column."),
        "label_column": column("The column of classes; by default the first class column, or one called `label`."),
    },
    required=("path",),
    shorthand="path",
    read=_read,
    classes=lambda parameters: classes_or_none(lambda: _classes(parameters)),
    splits=_has_splits,
    column=_cells,
)
