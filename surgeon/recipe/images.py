"""Whether a recipe's images are there, and enough of them to be divided as it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from surgeon.catalogue.groupings import GROUPINGS, without_columns
from surgeon.catalogue.sources import SOURCES
from surgeon.catalogue.sources.listing import require_classes
from surgeon.errors import SurgeonError
from surgeon.patterns import check_pattern
from surgeon.recipe.classes import class_problems, relabelled, renamed_classes
from surgeon.recipe.complete import is_whole
from surgeon.recipe.data_plan import ClassesPlan, small_class_remedy
from surgeon.recipe.pace import Shares, draw_splits, nothing_to_fold

if TYPE_CHECKING:
    from collections.abc import Collection

    from surgeon.catalogue.entry import Entry
    from surgeon.catalogue.sources.listing import Listing, SourceSpec
    from surgeon.recipe.complete import Values
    from surgeon.recipe.findings import Findings
    from surgeon.recipe.text import ValuePath

RELATIVE = "paths are relative to the recipe or, with --set, to the current folder"


def check_data(findings: Findings) -> None:
    """Checks the section ``data``; a source that is here is asked for its classes, or for all its images."""
    data = findings.values.get("data")
    if data is None:
        return
    has_splits = _has_splits(data["source"])
    if not has_splits:  # else the images have to be listed first
        _check_sum(findings, ())
    _check_fold(findings, data)
    size = data.get("image_size")
    if is_whole(size):
        findings.image_size = sides_of(size)
    if is_whole(data["source"]):
        ((name, parameters),) = data["source"].items()
        is_grouped = _check_group(findings, SOURCES[name])
        if _check_patterns(findings, ("data", "source", name), SOURCES[name], parameters):
            _check_source(findings, name, parameters, is_grouped=is_grouped, has_splits=has_splits)


def _has_splits(source: Values) -> bool:
    """Tells whether a source says itself which image is in which split."""
    if not is_whole(source):
        return False
    ((name, parameters),) = source.items()
    return SOURCES[name].splits(parameters)


def _check_sum(findings: Findings, own: Collection[str | None]) -> None:
    """Makes sure that the splits that are drawn, those not among ``own``, leave something to train on."""
    total = _drawn_sum(findings, own)
    if total >= 1:
        message = f"test and validation add up to {total:g}, which leaves nothing to train on"
        findings.report(("data", "split"), "split-sum", message, "their sum has to be less than 1")


def _drawn_sum(findings: Findings, own: Collection[str | None]) -> float:
    """Returns the part of the images that is drawn for splits that are not among ``own``; 0 if that is not known."""
    data = findings.values["data"]
    split = data["split"]
    if not split or not is_whole(split):
        return 0.0
    drawn = {"test": tested_part(data), "validation": split["validation"]}
    return float(sum(part for name, part in drawn.items() if name not in own))


def tested_part(data: Values) -> float:
    """Returns the part of all images that is tested; 0 where that is not known."""
    folds, split = data.get("folds"), data["split"]
    return 1 / folds if folds else split["test"] if split and is_whole(split) else 0.0


def _check_fold(findings: Findings, data: Values) -> None:
    """Makes sure that there is a fold of that number."""
    fold, folds = data.get("fold"), data.get("folds")
    if fold is not None and "folds" not in data:
        message, hint = "data.fold is given without data.folds", "say how many folds there are: data.folds: 5"
        findings.report(("data", "fold"), "fold-out-of-range", message, hint)
    elif fold is not None and folds is not None and fold > folds:
        message = f"there is no fold {fold} of {folds}"
        findings.report(("data", "fold"), "fold-out-of-range", message, "they are numbered from 1")


def sides_of(size: int | list[int]) -> tuple[int, int]:
    """Returns height and width of ``data.image_size``."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _check_patterns(findings: Findings, path: ValuePath, entry: Entry, parameters: Values) -> bool:
    """Tells whether those of an entry's parameters that are to be regular expressions are some."""
    patterns = [key for key, schema in entry.parameters.items() if schema.get("format") == "python-regex"]
    errors = {key: check_pattern(parameters[key]) for key in patterns if key in parameters}
    for key, error in errors.items():
        if error is not None:
            findings.report((*path, key), "unusable-pattern", error.message, error.hint)
    return not any(errors.values())


def _check_group(findings: Findings, source: SourceSpec) -> bool:
    """Tells whether there is something that images can be grouped by, as far as that shows without them."""
    split = findings.values["data"]["split"]
    if not split or not is_whole(split["group"]):
        return False
    ((name, parameters),) = split["group"].items()
    path = ("data", "split", "group", name)
    if name == "column" and source.column is None:
        error = without_columns(source)
        findings.report(path, "no-columns", error.message, error.hint)
        return False
    return _check_patterns(findings, path, GROUPINGS[name], parameters)


def _check_source(findings: Findings, name: str, parameters: Values, *, is_grouped: bool, has_splits: bool) -> None:
    source = SOURCES[name]
    paths = [key for key, schema in source.parameters.items() if schema.get("format") == "path"]
    missing = [key for key in paths if not _exists(Path(parameters[key]))]
    for key in missing:
        message = f"{parameters[key]} does not exist"
        findings.report(("data", "source", name, key), "missing-path", message, RELATIVE)
    for key in paths:
        if key not in missing and not (Path(parameters[key]).is_dir() or is_file(Path(parameters[key]))):
            message = f"{parameters[key]} is neither a file nor a folder"
            findings.report(("data", "source", name, key), "missing-path", message)
            missing.append(key)
    if missing:
        return
    known = None if paths and findings.counts_images else source.classes(parameters)
    if known is not None and len(known) > 1:
        findings.classes = _checked_classes(findings, known)
    else:
        try:
            listing = source.read(parameters, ())
            require_classes(listing, parameters)
        except SurgeonError as error:  # says what is wrong with the images
            for problem in error.message.splitlines():
                findings.report(("data", "source"), "unusable-source", problem, error.hint)
            return
        findings.classes = _checked_classes(findings, listing.classes)
        if is_grouped and findings.classes is not None:
            _check_draw(findings, source, parameters, listing, has_splits=has_splits)


def _checked_classes(findings: Findings, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Returns the classes that are left of a source's; None if that cannot be told."""
    if not is_whole(findings.values["data"].get("classes", {})):
        return None
    plan = _classes_plan(findings)
    problems = list(class_problems(plan, names)) if plan else []
    for problem in problems:
        findings.report(("data", "classes", *problem.path), "unusable-classes", problem.message, problem.hint)
    return None if problems else renamed_classes(plan, names)


def _classes_plan(findings: Findings) -> ClassesPlan | None:
    asked = findings.values["data"].get("classes")
    return ClassesPlan(asked.get("rename"), asked.get("leave_out"), asked.get("order")) if asked else None


def _check_draw(
    findings: Findings, source: SourceSpec, of_source: Values, listing: Listing, *, has_splits: bool
) -> None:
    """Groups images and draws the splits as far as that takes no more than counting."""
    data = findings.values["data"]
    split, folds, tested = data["split"], data.get("folds"), tested_part(data)
    if folds and any(image.split == "test" for image in listing.images):
        error = nothing_to_fold()
        findings.report(("data", "folds"), "no-folds", error.message, error.hint)
        return
    own = {image.split for image in listing.images}
    if has_splits:
        _check_sum(findings, own)
    if not is_whole(split) or _drawn_sum(findings, own) >= 1:
        return
    ((name, parameters),) = split["group"].items()
    try:
        keys = GROUPINGS[name].keys(parameters, source, of_source, listing)
    except SurgeonError as error:
        findings.report(("data", "split", "group", name), "unusable-group", error.message, error.hint)
        return
    listing, kept = relabelled(_classes_plan(findings), listing)
    shared = [keys[at] for at in kept]
    keep_small = split["small_classes"] == "train"
    shares = Shares(tested, split["validation"], folds or 1, keep_small)
    try:
        findings.train_images, failures = draw_splits(listing, shared, shares)
    except SurgeonError as error:
        findings.report(("data", "split"), "nothing-to-draw", error.message, error.hint)
        return
    for at, message in failures:
        hint = small_class_remedy("data.split", keep_small=keep_small)
        where = ("data", "folds") if folds and at == "test" else ("data", "split", at)
        findings.report(where, "class-too-small", message, hint)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be read
        return False


def is_file(path: Path) -> bool:
    """Tells whether there is a regular file, however odd the path is."""
    return _exists(path) and path.is_file()
