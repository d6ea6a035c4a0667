"""The images that a search looks at: never those of the test split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from surgeon.data.splits import split_images
from surgeon.recipe.plan import SplitPlan
from surgeon.results.events import Event, Note
from surgeon.training.session import Session, list_session, open_session, tell_what_was_passed_over

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import ExitStack

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
