"""What many trainings share: the images, decoded once, and whatever is kept of them."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tensorflow as tf

from surgeon.catalogue.sources.listing import left_out_lines
from surgeon.data.checks import quick_checks
from surgeon.data.dataset import Dataset, Index, decode_images, index_images
from surgeon.data.splits import size_notes
from surgeon.errors import SurgeonError
from surgeon.planning.processor import bfloat16_note
from surgeon.recipe.pace import check_pace
from surgeon.results.events import Event, Note
from surgeon.text import counted, first_few

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan

MOST_NOTES = 5  # findings or differences that are said one by one


@dataclass(frozen=True, eq=False)
class Session:
    """What many trainings share.

    Attributes:
        index: The images as they are listed.
        dataset: Those that can be decoded.
        resources: Until it is closed, what is kept of them stays in the cache.
    """

    index: Index
    dataset: Dataset
    resources: ExitStack


def list_session(plan: Plan) -> Generator[Event, None, Index]:
    """Lists the images of a plan, and says what is wrong with them as far as that can be told unseen.

    From here on TensorFlow is deterministic if the plan says so.

    Raises:
        SurgeonError: If they are not what the plan needs.
    """
    index = yield from index_images(plan.data)
    if index.classes != plan.classes:
        raise SurgeonError(
            f"the classes of the images are {', '.join(first_few(index.classes, 5))}; "
            f"they were {', '.join(first_few(plan.classes, 5))}",
            "restore the photographs as they were, or start again",
        )
    _check_monitors(plan, index.splits)
    check_pace(plan, index.splits.count("train"))
    if plan.data.tested is not None:
        yield Note("test images: fold {} of {}".format(*plan.data.tested))
    for text in size_notes(index, plan.data):
        yield Note(text)
    yield from _look_at(index, plan)
    if plan.precision == "bfloat16" and (note := bfloat16_note()):
        yield Note(note)
    if plan.deterministic:
        tf.config.experimental.enable_op_determinism()
    return index


def open_session(plan: Plan, index: Index, resources: ExitStack) -> Generator[Event, None, Session]:
    """Decodes the images of a plan, or finds them decoded.

    Raises:
        SurgeonError: If they cannot be decoded, or too few are left.
    """
    dataset = yield from decode_images(index, plan.data, plan.features, resources)
    check_pace(plan, dataset.splits.count("train"))  # without those that were skipped
    return Session(index, dataset, resources)


def tell_what_was_passed_over(index: Index, dataset: Dataset) -> Generator[Note, None, None]:
    """Says what is not among the images."""
    if index.ignored:
        yield Note(f"ignored {counted(index.ignored, 'file')} (hidden, of the system, or not an image)")
    for line in left_out_lines(index.left_out):
        yield Note(line)
    for bad in dataset.bad:
        yield Note(f"skipped {bad.name}: {bad.reason}")


def _check_monitors(plan: Plan, splits: Collection[str]) -> None:
    if plan.reject and "validation" not in splits:
        raise SurgeonError(
            "reject sets its bounds by validation images, but there are none",
            "hold some out (data.split.validation: 0.15), or leave out reject",
        )
    for phase in plan.phases:
        for monitor in (phase.until and phase.until.monitor, phase.lr.parameters.get("monitor")):
            if monitor and monitor.startswith("val_") and "validation" not in splits:
                raise SurgeonError(
                    f"phase {phase.name!r} monitors {monitor}, but there are no validation images",
                    "hold some out (data.split.validation: 0.1) or monitor loss",
                )


def _look_at(index: Index, plan: Plan) -> Generator[Note, None, None]:
    """Says what is wrong with the images as far as their bytes, labels and splits tell.

    Raises:
        SurgeonError: If the same image is in two splits, unless the plan lets that pass.
    """
    is_balanced = all(phase.class_weight or phase.sample for phase in plan.phases)
    found = quick_checks(index, plan.data.split.group.name)
    findings = [one for one in found if not (is_balanced and one.kind == "imbalance")]
    leaks = [finding.message for finding in findings if finding.kind in ("leak", "group-leak")]
    if leaks and plan.data.on_leak == "fail":
        raise SurgeonError(
            "\n".join(first_few(leaks, MOST_NOTES)),
            "`surgeon check` shows all; mend the splits, or let it pass: data.on_leak: warn",
        )
    for text in first_few((f"warning: {finding.message}" for finding in findings), MOST_NOTES):
        yield Note(text)
