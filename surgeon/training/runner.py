"""A whole run: a session of one trial, in a folder, with a lock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from surgeon.errors import SurgeonError
from surgeon.features.frozen import FrozenFeatures, set_up
from surgeon.model.surgery import build_network
from surgeon.recipe.bundle import NETWORK, bundle_of, write_bundle
from surgeon.results.events import Event, Note
from surgeon.results.run import RunResult
from surgeon.runs.checkpoint import Checkpoints
from surgeon.runs.differences import compare
from surgeon.runs.folder import is_begun, write_splits
from surgeon.runs.lock import INPUTS, Lock, build_lock, read_lock, write_lock
from surgeon.text import first_few
from surgeon.training.audit import variable_digests
from surgeon.training.session import MOST_NOTES, list_session, open_session, tell_what_was_passed_over
from surgeon.training.trial import run_trial

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.recipe.plan import Plan


def run(plan: Plan, folder: Path, repeated: Mapping[str, Any] | None = None) -> Generator[Event, None, RunResult]:
    """Does what a plan asks for and leaves its files in ``folder``, all but ``result.json`` and the pictures.

    If the folder holds a checkpoint, the run goes on from there.

    Args:
        plan: What to do.
        folder: Of the run.
        repeated: The lock of a run that this one repeats; what differs is said before the long work.

    Raises:
        SurgeonError: If the images or the weights are not what the plan needs or what the checkpoint was made
            with, or if training diverges.
    """
    started = time.perf_counter()
    index = yield from list_session(plan)
    network = build_network(plan)  # weights that do not fit are said before the long work
    with ExitStack() as resources:
        session = yield from open_session(plan, index, resources)
        dataset = session.dataset
        lock = build_lock(plan, dataset, variable_digests(network))
        yield from _settle_lock(folder, lock, repeated)
        write_splits(folder, dataset)
        write_bundle(folder, bundle_of(plan, NETWORK))
        yield from tell_what_was_passed_over(index, dataset)
        setup = set_up(plan, network, dataset)
        checkpoints = resources.enter_context(Checkpoints(folder))
        spent = checkpoints.latest.spent if checkpoints.latest else 0.0
        trial = yield from run_trial(setup, FrozenFeatures(setup, resources), folder, checkpoints)
    return RunResult(
        name=plan.name,
        images=dict(Counter(dataset.splits)),
        ignored=index.ignored,
        left_out={reason: len(names) for reason, names in index.left_out.items()},
        bad_images={bad.name: bad.reason for bad in dataset.bad},
        frozen=trial.frozen,
        phases=trial.phases,
        evaluation=trial.evaluation,
        linear_probe=trial.linear_probe,
        acceptance=trial.acceptance,
        expected=plan.expected,
        seconds=spent + time.perf_counter() - started,
        versions=lock["versions"],
    )


def _settle_lock(folder: Path, lock: Lock, repeated: Mapping[str, Any] | None) -> Generator[Note, None, None]:
    """Writes the lock of a new run, or compares it with that of the run which goes on or is repeated.

    Raises:
        SurgeonError: If the recipe, an image, its split or an initial weight of a run that goes on is another now, or
            nothing tells that they are not.
    """
    begun = read_lock(folder)
    if begun is None and is_begun(folder):
        raise SurgeonError(
            f"cannot tell with which inputs {folder} was started: its lock.json is missing",
            "restore it from a copy, or start the recipe again in another folder (--out)",
        )
    differences = [str(difference) for difference in compare(begun, lock) if difference.part in INPUTS] if begun else []
    if differences:
        raise SurgeonError(
            f"{folder} was started with other inputs:\n" + "\n".join(first_few(differences, MOST_NOTES)),
            "restore them, or start the recipe again in another folder (--out)",
        )
    other = begun or repeated
    for text in first_few(map(str, compare(other, lock)) if other else (), MOST_NOTES):
        yield Note(f"{text}, so figures may differ")
    write_lock(folder, lock)
