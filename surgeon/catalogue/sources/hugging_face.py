"""What the library ``datasets`` reads from a disk: its own folders, Parquet files, shards of WebDataset."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from surgeon.catalogue.entry import Parameters, Schema, path
from surgeon.catalogue.sources.listing import LabelledImage, Listing, SourceSpec, complete_listing, readable_name
from surgeon.catalogue.sources.split_names import split_called
from surgeon.errors import BadImageError, SurgeonError, did_you_mean, require_modules
from surgeon.formats import MAX_IMAGE_BYTES, read_image, too_large
from surgeon.text import first_few

_LABELS = ("label", "labels", "fine_label", "class", "cls", "category", "target")
_BUILDERS = {".parquet": "parquet", ".tar": "webdataset"}
_NAMED = 8  # columns in a message


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    tables = _open(Path(parameters["path"]))
    splits = {name: split_called(name) for name in tables}
    images = []
    for name, table in tables.items():
        image, label = _columns(parameters, table)
        encoded = _encoded(table, image)
        labels = _labels(table, label)
        split = splits[name] if len(tables) > 1 else None
        images += [
            LabelledImage(f"{name}/{row:08}", readable_name(said), split, data=partial(_content, encoded, image, row))
            for row, said in enumerate(labels)
            if said is not None
        ]
    if unknown := [name for name, split in splits.items() if split is None and len(tables) > 1]:
        raise SurgeonError(
            f"{parameters['path']} has parts whose names say no split: {', '.join(first_few(unknown, _NAMED))}",
            "call them train, validation and test",
        )
    return complete_listing(images)


def _open(where: Path) -> Mapping[str, Any]:
    """Returns the tables of a data set by the names of its splits.

    Raises:
        SurgeonError: If the library is missing, or cannot read it.
    """
    require_modules("this source", ("datasets",), "datasets")
    import datasets

    datasets.disable_progress_bars()
    if not where.exists():
        raise SurgeonError(f"there is no {where}", "give a folder, or a Parquet or tar file")
    inside = where.rglob("*") if where.is_dir() else [where]
    files = sorted(file for file in inside if file.suffix in _BUILDERS or file == where)
    try:
        if not files:
            found = datasets.load_from_disk(str(where))
        else:
            kinds = {file.suffix for file in files}
            if len(kinds) > 1 or kinds - set(_BUILDERS):
                raise SurgeonError(f"{where} holds files of the kinds {', '.join(sorted(kinds))}", "give one kind")
            found = datasets.load_dataset(_BUILDERS[kinds.pop()], data_files=_by_split(files))
    except (OSError, ValueError, TypeError, KeyError, datasets.exceptions.DatasetsError) as error:
        raise SurgeonError(
            f"the library `datasets` cannot read {where}: {' '.join(str(error).split())[:300]}",
            "give a folder that its save_to_disk wrote, or Parquet files or tar shards of WebDataset",
        ) from error
    return found if isinstance(found, dict) else {"train": found}


def _by_split(files: list[Path]) -> dict[str, list[str]]:
    """Returns files by the split that their name or folder says; if one says none, all are of one."""
    said = [split_called(file.parent.name) or split_called(file.stem.split("-")[0]) for file in files]
    grouped: dict[str, list[str]] = {}
    for file, split in zip(files, said, strict=True):
        grouped.setdefault(split if split and all(said) else "train", []).append(str(file))
    return grouped


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
        raise SurgeonError(f"which column has the {missing}? There are {listed}", f"name it: {missing[:-1]}_column")
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
    values = table.select_columns([label])[:][label]
    if hasattr(kind, "int2str"):
        return [None if value is None or value < 0 else str(kind.int2str(value)) for value in values]
    if any(isinstance(value, list | dict) for value in values[:1]):
        raise SurgeonError(f"the column {label!r} does not hold one class per image", "name another label_column")
    return [None if value is None else str(value) for value in values]


def _content(table: Any, image: str, row: int) -> bytes:
    """Returns the bytes of an image.

    Raises:
        BadImageError: If there are none.
    """
    found = table[row][image] or {}
    content = found.get("bytes")
    if content is None and found.get("path"):
        return read_image(Path(found["path"]))
    if not content:
        raise BadImageError("there is no image in this row")
    if len(content) > MAX_IMAGE_BYTES:
        raise too_large(f"{len(content):,} bytes")
    return bytes(content)


def _classes(parameters: Parameters) -> tuple[str, ...] | None:
    try:
        return _read(parameters, ()).classes
    except SurgeonError:
        return None  # what is wrong is said when the images are read


def _has_splits(parameters: Parameters) -> bool:
    try:
        return len(_open(Path(parameters["path"]))) > 1
    except SurgeonError:
        return False


def _cells(parameters: Parameters, column: str) -> list[str]:
    cells = []
    for name, table in sorted(_open(Path(parameters["path"])).items()):
        if column not in table.features:
            hint = did_you_mean(column, table.features)
            raise SurgeonError(f"no column {column!r} in {name}; there are {', '.join(table.features)}", hint)
        said = _labels(table, _columns(parameters, table)[1])
        values = table.select_columns([column])[:][column]
        cells += [str(value) for value, label in zip(values, said, strict=True) if label is not None]
    return cells


def _column(description: str) -> Schema:
    return {"description": description, "type": "string", "minLength": 1}


SPEC = SourceSpec(
    name="hugging_face",
    summary="What Hugging Face's `datasets` reads from a disk: a folder that it saved, Parquet, shards of WebDataset.",
    parameters={
        "path": path("What `save_to_disk` wrote, a Parquet file, a tar shard, or a folder of either."),
        "image_column": _column("The column of images; by default the first that is one."),
        "label_column": _column("The column of classes; by default the first that is one, or is called `label`."),
    },
    required=("path",),
    shorthand="path",
    read=_read,
    classes=_classes,
    splits=_has_splits,
    column=_cells,
)
