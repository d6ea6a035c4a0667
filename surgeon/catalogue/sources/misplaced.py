"""What was given where a folder of class folders was expected, and what to do with it."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from surgeon.catalogue.sources.listing import Listing, left_out_lines
from surgeon.catalogue.sources.walk import IMAGE_SUFFIXES, STRAY
from surgeon.errors import SurgeonError

_ARCHIVE_SUFFIXES = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"}
_NAMES_SAY = "if their names say the class, data.source: {file_names: {path: ..., pattern: ...}} in a recipe finds it"
_EXPECTED = "give a folder that contains one folder of images per class"


def describe_file(path: Path) -> SurgeonError:
    """Returns what to say of a path that is not a folder."""
    suffix = path.suffix.lower()
    if not path.exists():
        return SurgeonError(f"the folder {path} does not exist", _EXPECTED)
    if not path.is_file():
        what, hint = "neither a folder nor a file", _EXPECTED
    elif suffix in _ARCHIVE_SUFFIXES or zipfile.is_zipfile(path) or tarfile.is_tarfile(path):
        what = "an archive, not a folder"
        hint = "unpack it and give the resulting folder; data.source: {zip: FILE} reads a ZIP archive directly"
    elif suffix == ".csv":
        what, hint = "a table, not a folder", f"name it in a recipe, data.source: {{csv: {path}}}"
    elif suffix == ".tsv":
        what, hint = "a table, not a folder", "save it as CSV, separated by commas, and give that"
    elif suffix in (".yaml", ".yml"):
        what, hint = "by its name a recipe, not a folder of images", f"run it: `surgeon run {path}`"
    elif suffix in IMAGE_SUFFIXES:
        what, hint = "a single image, not a folder", f"{_EXPECTED}; to classify images, use `surgeon predict`"
    else:
        what, hint = "a file, not a folder", f"{_EXPECTED}, or a CSV, ZIP or Parquet file"
    return SurgeonError(f"{path} is {what}", hint)


def describe_folder(root: Path, listing: Listing, *, has_splits: bool) -> SurgeonError:
    """Returns what to say of a folder in which no image is in a class folder."""
    if stray := listing.left_out.get(STRAY):
        found = f"no labelled images in {root}, but {len(stray):,} unlabelled, such as {stray[0]}"
        if has_splits:
            return SurgeonError(
                f"{found}: its folders are splits and hold no class folders",
                "put the images of each class into a folder of its own inside each split; if the folders are the "
                f"classes, write data.source.folder: {{path: ..., splits: false}}; {_NAMES_SAY}",
            )
        return SurgeonError(
            found,
            "put the images of each class into a folder of its own, or list them with their labels in a CSV file; "
            f"{_NAMES_SAY}; `surgeon predict` classifies unlabelled images",
        )
    files = sorted(entry.name for entry in root.iterdir())
    if not files:
        return SurgeonError(f"no labelled images in {root}: it is empty", _EXPECTED)
    if archives := [name for name in files if Path(name).suffix.lower() in _ARCHIVE_SUFFIXES]:
        return SurgeonError(f"no labelled images in {root}, but archives such as {archives[0]}", "unpack them")
    lines = [f"no labelled images in {root} that surgeon reads", *left_out_lines(listing.left_out)]
    return SurgeonError("\n".join(lines), _EXPECTED)
