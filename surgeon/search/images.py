"""The images that a search looks at: never those of the test split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from surgeon.data.splits import draw_folds, split_images
from surgeon.results.events import Event, Note
from surgeon.training.session import Session, list_session, open_session, tell_what_was_passed_over

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import ExitStack

    from surgeon.data.dataset import Dataset
    from surgeon.recipe.data_plan import SplitPlan
    from surgeon.recipe.plan import Plan

_HELD_OUT = 0.2  # of the training images where the recipe has no validation split


def open_images(plan: Plan, resources: ExitStack) -> Generator[Event, None, Session]:
    """Decodes the training and validation images of a plan; its test images are left out before.

    Raises:
        SurgeonError: If they are not what the plan needs.
    """
    index = yield from list_session(plan)
    session = yield from open_session(plan, index.only("train", "validation"), resources)
    yield from tell_what_was_passed_over(index, session.dataset)
    return session


def with_validation(session: Session, split: SplitPlan) -> Generator[Event, None, Session]:
    """Returns a session that has validation images: a part of the training images, if the recipe holds none out.

    Raises:
        SurgeonError: If a class has too few images.
    """
    dataset = session.dataset
    if "validation" in dataset.splits:
        return session
    labels = [dataset.classes[number] for number in dataset.labels]
    part = replace(split, test=0.0, validation=_HELD_OUT)
    splits = split_images(labels, dataset.digests, dataset.groups, dataset.splits, part)
    yield Note(
        f"the recipe holds out no validation images, so the search holds out {splits.count('validation'):,} of the "
        "training images"
    )
    return replace(session, dataset=replace(dataset, splits=splits))


def folds_of(dataset: Dataset, count: int, split: SplitPlan) -> Iterator[Dataset]:
    """Yields the images with each part of them held out; images of one group are in one part."""
    labels = [dataset.classes[number] for number in dataset.labels]
    keep_small = split.small_classes == "train"
    fold_of = draw_folds(labels, dataset.groups, count, split.seed, keep_small=keep_small)
    for fold in range(count):
        splits = np.where(fold_of == fold, "validation", "train")
        yield replace(dataset, splits=tuple(splits.tolist()))
