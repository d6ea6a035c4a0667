"""The images that a search looks at: never those of the test split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from surgeon.data.splits import split_images
from surgeon.errors import SurgeonError
from surgeon.recipe.plan import SplitPlan
from surgeon.results.events import Event, Note
from surgeon.training.session import Session, list_session, open_session, tell_what_was_passed_over

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import ExitStack

    from surgeon.data.dataset import Dataset
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


def with_validation(session: Session, seed: int) -> Generator[Event, None, Session]:
    """Returns a session that has validation images: a part of the training images, if the recipe holds none out.

    Raises:
        SurgeonError: If a class has too few images.
    """
    dataset = session.dataset
    if "validation" in dataset.splits:
        return session
    labels = [dataset.classes[number] for number in dataset.labels]
    splits = split_images(labels, dataset.digests, dataset.splits, SplitPlan(0.0, _HELD_OUT, seed))
    yield Note(
        f"the recipe holds no validation images out, so the search takes {splits.count('validation'):,} of the "
        "training images"
    )
    return replace(session, dataset=replace(dataset, splits=splits))


def folds_of(dataset: Dataset, count: int, seed: int) -> Iterator[Dataset]:
    """Yields the images with each part of them held out; copies of an image are in one part."""
    digests = np.array(dataset.digests)
    for number, name in enumerate(dataset.classes):
        different = len(set(digests[dataset.labels == number].tolist()))
        if different < count:
            raise SurgeonError(
                f"{count} folds need {count} different images of each class; {name!r} has {different}",
                "ask for fewer folds, or add images",
            )
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for _, held_out in folds.split(digests, dataset.labels, digests):
        splits = np.full(len(digests), "train", object)
        splits[held_out] = "validation"
        yield replace(dataset, splits=tuple(splits.tolist()))
