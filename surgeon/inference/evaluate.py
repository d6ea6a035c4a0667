"""A run measured on other images than its own."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from surgeon.catalogue.sources import SOURCES, source_of
from surgeon.catalogue.sources.listing import LabelledImage, Listing
from surgeon.errors import SurgeonError, UsageError
from surgeon.evaluation.measures import evaluate
from surgeon.evaluation.rejection import acceptance, read_answers
from surgeon.inference.classify import classify, open_classifier
from surgeon.recipe.classes import relabelled
from surgeon.recipe.plan import Plan
from surgeon.results.events import Progress
from surgeon.results.use import OtherData
from surgeon.runs.folder import Predictions, holds_run, read_splits, write_predictions, write_whole
from surgeon.runs.plan_file import read_plan
from surgeon.text import first_few

_TABLE_SUFFIXES = {"", ".csv", ".tsv", ".txt"}


def evaluate_images(
    folder: Path, listing: Listing, out: Path | None = None, *, trust: bool = False
) -> Generator[Progress, None, OtherData]:
    """Measures the network of a run or a bundle; classes are matched by name, whatever their order.

    Images of other classes are strangers to a network that rejects images, and left out by any other.

    Args:
        folder: The run or the bundle.
        listing: Images with labels.
        out: A new folder for what was found: ``evaluation.json``, ``predictions.csv``, ``confusion.png``.
        trust: Whether an exported network may do more than compute.

    Raises:
        UsageError: If ``out`` exists.
        SurgeonError: If no image has a class that the network knows, or none of them can be read.
    """
    if out is not None and out.exists():
        raise UsageError(f"{out} exists", "give another folder (--out)")
    bundle, classifier = open_classifier(folder, len(listing.images), trust=trust)
    numbers = {name: number for number, name in enumerate(bundle.classes)}
    asked = [image for image in listing.images if image.label in numbers or bundle.rejection]
    if not asked:
        raise SurgeonError(
            f"the network knows none of the classes {', '.join(first_few(listing.classes, 5))}",
            f"its classes are {', '.join(first_few(bundle.classes, 5))}; name the folders or labels like them",
        )
    answers, bad = yield from classify(bundle, classifier, asked)
    good = [at for at in range(len(asked)) if at not in bad]
    if not good:
        (at, reason), *_ = bad.items()
        raise SurgeonError(
            f"none of the {len(asked):,} images can be read; the first is {asked[at].name}: {reason}",
            "give other images, or repair these",
        )
    probabilities, rejected = read_answers(answers, bundle.rejection)
    known = [at for at in good if asked[at].label in numbers]
    labels = np.array([numbers[asked[at].label] for at in known], np.int32)
    predicted = probabilities[known].argmax(axis=-1)
    evaluation = evaluate("other", labels, predicted, bundle.classes) if known else None
    among = {place: rejected[at] for place, at in enumerate(known) if at in rejected}
    strangers = [at in rejected for at in good if asked[at].label not in numbers]
    found = OtherData(
        evaluation=evaluation,
        acceptance=acceptance(labels, predicted, among, strangers) if bundle.rejection else None,
        images=len(known),
        trained_on=_count_trained_on(folder, [asked[at] for at in known]),
        unknown=dict(Counter(image.label for image in listing.images if image.label not in numbers)),
        missing=evaluation.missing if evaluation else bundle.classes,
        bad_images={asked[at].name: reason for at, reason in bad.items()},
        left_out=listing.left_out,
    )
    if out is not None:
        files = tuple(asked[at].name for at in known)
        _write(out, found, Predictions(bundle.classes, files, labels.astype(np.intp), probabilities[known]))
    return found


def _count_trained_on(folder: Path, images: Sequence[LabelledImage]) -> int:
    """Returns how many images a run was trained on, by their bytes; none of a bundle, which does not know."""
    if not holds_run(folder):
        return 0
    trained = {digest for (_, digest), split in read_splits(folder).items() if split == "train"}
    return sum(hashlib.sha256(image.read()).hexdigest() in trained for image in images)


def _write(out: Path, found: OtherData, predictions: Predictions) -> None:
    out.mkdir(parents=True)
    write_whole(out / "evaluation.json", json.dumps({"version": 1, **asdict(found)}, indent=1) + "\n")
    write_predictions(out, predictions)
    if found.evaluation is not None:
        from surgeon.report.figures import draw_confusion  # noqa: PLC0415  matplotlib, which measuring does without

        draw_confusion(found.evaluation, out / "confusion.png")


def list_other(folder: Path, data: Path, columns: Mapping[str, str]) -> Listing:
    """Lists other images: of a folder, or of a CSV file, which is read as the run's own if it came from one.

    Classes that the run's recipe renames have their new names here, too.

    Args:
        folder: The run or the bundle.
        data: A folder of class folders, or of files whose names say the class if the run's do; a CSV file; or what else
            ``source_of`` tells.
        columns: ``image_column`` and ``label_column`` of the file, where they are not those of the recipe.

    Raises:
        UsageError: If columns are named of what has none.
        SurgeonError: If the images cannot be listed.
    """
    is_table = not data.is_dir() and data.suffix.lower() in _TABLE_SUFFIXES
    kind = "csv" if is_table else source_of(data)
    if not columns.keys() <= SOURCES[kind].parameters.keys():
        raise UsageError(f"{data} has no columns to name", "leave out --image-column and --label-column")
    plan = read_plan(folder) if holds_run(folder) else None
    source = plan.data.source if plan else None
    if plan and plan.data.source.name == "file_names" and not is_table and (named := _by_file_names(plan, data)):
        return named
    asked = source.parameters if source and source.name == kind else {}
    defaults = {key: schema["default"] for key, schema in SOURCES[kind].parameters.items() if "default" in schema}
    # Of other images all are measured.
    asked = {key: value for key, value in asked.items() if key not in ("split_column", "split_pattern")}
    listing = SOURCES[kind].read({**defaults, **asked, **columns, "path": str(data.absolute())}, ())
    return listing if plan is None else _under_new_names(listing, plan)


def _by_file_names(plan: Plan, data: Path) -> Listing | None:
    """Returns the images of a folder whose names say the class, as the run's own do; None if they do not."""
    parameters = {"path": str(data.absolute()), "pattern": plan.data.source.parameters["pattern"]}
    try:
        listing = _under_new_names(SOURCES["file_names"].read(parameters, ()), plan)
    except SurgeonError:  # as of class folders
        return None
    return listing if any(image.label in plan.classes for image in listing.images) else None


def _under_new_names(listing: Listing, plan: Plan) -> Listing:
    """Returns other images under the names that the run gives its classes; what the network does not know stays."""
    classes = plan.data.classes
    return listing if classes is None else relabelled(replace(classes, leave_out=None), listing)[0]
