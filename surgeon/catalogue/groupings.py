"""What images have in common that keeps them on one side of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from surgeon.catalogue.entry import Entry, Parameters, regex, table
from surgeon.catalogue.sources.listing import LabelledImage, Listing, SourceSpec
from surgeon.catalogue.sources.split_names import split_called
from surgeon.errors import SurgeonError, quote
from surgeon.patterns import first_groups, spell_pattern

Keys = Sequence[str | None]


def _no_keys(parameters: Parameters, source: SourceSpec, of_source: Parameters, listing: Listing) -> Keys:
    return [None] * len(listing.images)


@dataclass(frozen=True, kw_only=True)
class GroupingSpec(Entry):
    """A way to group images.

    Attributes:
        keys: Tells for each image of a listing what it shares with the others of its group, None if it is by itself;
            given its own parameters, the source, the source's parameters and the listing. Reads no image.
        compares: Whether images that show nearly the same picture are grouped, which takes a look at each.
    """

    keys: Callable[[Parameters, SourceSpec, Parameters, Listing], Keys] = _no_keys
    compares: bool = False


def _folders(parameters: Parameters, source: SourceSpec, of_source: Parameters, listing: Listing) -> Keys:
    keys = [_folder_below_class(image) for image in listing.images]
    if not any(keys):
        raise SurgeonError(
            "no image is in a folder below that of its class, so there is nothing to keep together",
            "expected names such as CLASS/FOLDER/1.jpg; a pattern groups by file names: {pattern: '^(\\w+?)_'}",
        )
    return keys


def _folder_below_class(image: LabelledImage) -> str | None:
    """Returns the path of the folder directly below an image's class folder, None for an image outside of such."""
    *folders, _ = image.name.split("/")
    start = 1 if image.split is not None and image.split in map(split_called, folders[:1]) else 0
    if image.label not in folders[start:]:
        return None
    below = folders.index(image.label, start) + 1
    return "/".join(folders[: below + 1]) if below < len(folders) else None


def without_columns(source: SourceSpec) -> SurgeonError:
    """Returns what to say where a column of a source is named that has none."""
    hint = "only the sources csv and hugging_face have columns; folder and pattern group by file names"
    return SurgeonError(f"the source {source.name!r} has no columns", hint)


def _cells(parameters: Parameters, source: SourceSpec, of_source: Parameters, listing: Listing) -> Keys:
    if source.column is None:
        raise without_columns(source)
    cells = source.column(of_source, parameters["name"])
    if not any(cells):
        raise SurgeonError(
            f"the column {quote(parameters['name'])} is empty", "name one that says which images belong together"
        )
    return [cell or None for cell in cells]


def _matches(parameters: Parameters, source: SourceSpec, of_source: Parameters, listing: Listing) -> Keys:
    names = [image.name.rpartition("/")[2] for image in listing.images]
    keys = first_groups(parameters["regex"], names)
    if not any(keys):
        raise SurgeonError(
            f"the pattern {spell_pattern(parameters['regex'])} matches no file name, such as {quote(names[0])}",
            "its first group has to match what the names of one group share",
        )
    return keys


GROUPINGS = table(
    GroupingSpec(
        name="near_copies",
        summary="Images that show nearly the same picture, as `surgeon check` finds them.",
        compares=True,
    ),
    GroupingSpec(
        name="folder",
        summary="Images in the same folder directly below their class folder; other images are not grouped.",
        keys=_folders,
    ),
    GroupingSpec(
        name="column",
        summary="Images with the same value in a column of a CSV or Hugging Face source; empty values do not group.",
        parameters={"name": {"description": "The column, such as `patient`.", "type": "string", "minLength": 1}},
        required=("name",),
        shorthand="name",
        keys=_cells,
    ),
    GroupingSpec(
        name="pattern",
        summary="Images in whose file names a regular expression finds the same text; others are not grouped.",
        parameters={"regex": regex("In the syntax of Python's `re`; its first group counts.")},
        required=("regex",),
        shorthand="regex",
        keys=_matches,
    ),
    GroupingSpec(name="none", summary="Only copies of a file stay together."),
)
