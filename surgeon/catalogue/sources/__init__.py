"""Where labelled images come from: folders, archives, tables, and two data sets that everybody can get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surgeon.catalogue.entry import table
from surgeon.catalogue.sources import csv_file, digits, flowers17, folder, hugging_face, patterned, url, zip_file
from surgeon.catalogue.sources.walk import walk

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = table(
    folder.SPEC,
    patterned.SPEC,
    zip_file.SPEC,
    csv_file.SPEC,
    hugging_face.SPEC,
    url.SPEC,
    flowers17.SPEC,
    digits.SPEC,
    group="surgeon.sources",
)

_BY_SUFFIX = {".csv": "csv", ".zip": "zip", ".parquet": "hugging_face"}


def source_of(path: Path) -> str:
    """Returns which source reads a file or a folder; ``folder`` where nothing speaks for another."""
    if path.is_file():
        return _BY_SUFFIX.get(path.suffix.lower(), "folder")
    saved = any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))
    if saved or (path.is_dir() and not any(found.is_image for found in walk(path)) and any(path.rglob("*.parquet"))):
        return "hugging_face"
    return "folder"
