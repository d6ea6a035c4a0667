"""A sweep: trials that Optuna proposes, trained behind what they share, each with a file of its own once it ends."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from surgeon.errors import SurgeonError
from surgeon.recipe.compiler import compile_document
from surgeon.recipe.complete import shorten
from surgeon.recipe.pace import check_pace
from surgeon.recipe.sweep import Sweep, trial_plan
from surgeon.recipe.text import dump_text
from surgeon.resizing import Resizing
from surgeon.results.events import Event, TrialEnded
from surgeon.results.sweep import SweepResult, Trial
from surgeon.runs.folder import write_whole
from surgeon.runs.sweep_folder import BEST, has_result, read_sweep, read_trials, write_sweep, write_trial
from surgeon.search.images import folds_of, open_images, with_validation
from surgeon.search.proposals import Proposal, Proposals
from surgeon.search.shared import Candidate, Shared, backbone_key
from surgeon.search.trials import Course, Ended, History, Limits, Standing, train_candidates, work_key

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan

_ROUND = 10  # trials that are proposed at once, where a proposal may learn from what others came to or time is short


def search(sweep: Sweep, folder: Path, storage: str) -> Generator[Event, None, SweepResult]:
    """Makes the trials of a sweep that its folder does not have yet.

    Args:
        sweep: What is searched.
        folder: Where its files are.
        storage: The URL of Optuna's database.

    Raises:
        SurgeonError: If the images are not what the recipe needs, or the storage cannot be used.
    """
    trials = {trial.number: trial for trial in read_trials(folder)}
    former = read_sweep(folder) if has_result(folder) else None
    before = max((trial.ended for trial in trials.values()), default=0.0)
    proposals = Proposals(sweep, storage, folder.resolve().name)
    work = _Work(sweep, folder, proposals, trials, time.perf_counter() - before, former)
    with work.resources:
        while not work.is_over() and (proposed := _next_round(work)):
            yield from _make(work, proposed)
            if work.sweep.size is not None and all(work.is_duplicate(proposal.number) for proposal in proposed):
                break  # there is nothing left that was not tried
        if former is not None and former.importances and len(former.trials) == len(work.trials):
            return work.write(former.importances)  # of a sweep that was over
        return work.write(work.proposals.importances())


@dataclass(frozen=True, eq=False)
class _Work:
    """A sweep that is being made.

    Attributes:
        trials: Those that ended, by number.
        started: When all work on it would have begun, had there been no pause; of ``time.perf_counter``.
        former: What the sweep came to before this process, if it came to something.
        resources: Hold what is kept until the end.
        shared: What is kept for the trials of each backbone.
        images: The images as each way of resizing gives them, with their splits.
        reasons: Why trials were ended, by number.
    """

    sweep: Sweep
    folder: Path
    proposals: Proposals
    trials: dict[int, Trial]
    started: float
    former: SweepResult | None
    resources: ExitStack = field(default_factory=ExitStack)
    shared: dict[str, Shared] = field(default_factory=dict)
    images: dict[Resizing, _Images] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long all processes worked on it so far."""
        return time.perf_counter() - self.started

    @property
    def wanted(self) -> int | None:
        """How many trials there are to be; None if only the budget says."""
        wanted, size = self.sweep.settings.trials, self.sweep.size
        if self.sweep.settings.method != "grid" or size is None:
            return wanted
        return size if wanted is None else min(wanted, size)

    def is_duplicate(self, number: int) -> bool:
        """Tells whether a trial was not made, as another one had the same recipe; of one that has not ended, not."""
        return number in self.trials and self.trials[number].state == "duplicate"

    def is_over(self) -> bool:
        """Tells whether the budget is spent."""
        return self.sweep.seconds is not None and self.seconds >= self.sweep.seconds

    def is_cut_short(self) -> bool:
        """Tells whether the budget is spent and there would have been more trials."""
        return self.is_over() and (self.wanted is None or len(self.trials) < self.wanted)

    @cached_property
    def known(self) -> dict[str, int]:
        """The number of the first trial with each recipe, by its ``work_key``; ``add`` adds to it."""
        return {work_key(trial.recipe): trial.number for trial in self.trials.values() if trial.state != "duplicate"}

    @cached_property
    def _own_key(self) -> str:
        """The ``work_key`` of the recipe itself."""
        return work_key(compile_document(self.sweep.base).recipe)

    def seconds_left(self) -> float | None:
        """Returns about how long it still takes, by the pace so far or by the budget; None before the first trial."""
        by_budget = None if self.sweep.seconds is None else max(0.0, self.sweep.seconds - self.seconds)
        if self.wanted is None or not self.trials:
            return by_budget
        by_pace = self.seconds / len(self.trials) * (self.wanted - len(self.trials))
        return by_pace if by_budget is None else min(by_pace, by_budget)

    def add(self, trial: Trial) -> TrialEnded:
        """Keeps a trial that ended: in the study first, then in its file, by which it counts."""
        trial = replace(trial, ended=self.seconds)
        state = trial.state if trial.state != "duplicate" else "finished" if trial.objective is not None else "failed"
        self.proposals.tell(trial.number, state, trial.objective)
        write_trial(self.folder, trial)
        self.trials[trial.number] = trial
        self.known.setdefault(work_key(trial.recipe), trial.number)
        best = self.write().best
        return TrialEnded(trial, best, len(self.trials), self.wanted, self.seconds, self.seconds_left())

    def write(self, importances: Mapping[str, float] | None = None) -> SweepResult:
        """Writes what it has come to so far, and the best recipe."""
        settings, plan = self.sweep.settings, self.sweep.plan
        result = SweepResult(
            name=plan.name,
            objective=settings.objective,
            images=min(
                (images.count for images in self.images.values()), default=self.former.images if self.former else 0
            ),
            folds=settings.folds or 1,
            method=settings.method,
            pruning=settings.pruning,
            trials=tuple(self.trials[number] for number in sorted(self.trials)),
            importances=importances or {},
            seconds=self.seconds,
            own=self.known.get(self._own_key, 0),
            stopped=f"the budget of {settings.budget} was spent" if self.is_cut_short() else "",
        )
        write_sweep(self.folder, result)
        if result.best is not None:
            write_whole(self.folder / BEST, _best_recipe(result, result.best))
        return result


def _best_recipe(result: SweepResult, best: Trial) -> str:
    """Returns the text of the recipe of the best trial, which needs no other file."""
    values = "".join(f"#   {path}: {json.dumps(value)}\n" for path, value in best.values.items())
    return (
        f"# The best of {len(result.trials)} trials of a sweep: {result.objective} {best.objective:.4f}\n"
        f"# in trial {best.number}, with\n{values}{dump_text(shorten(best.recipe))}"
    )


@dataclass(frozen=True, eq=False)
class _Images:
    """The images of a sweep, resized in one way.

    Attributes:
        every: All of them, called as the frozen layers need it.
        splits: The same as they are trained on and validated: once, or for each fold.
        count: How many different ones the objective is measured on.
    """

    every: Dataset
    splits: Sequence[Dataset]
    count: int


def _open_images(work: _Work, plan: Plan) -> Generator[Event, None, _Images]:
    resizing = plan.data.resizing
    if resizing not in work.images:
        session = yield from open_images(plan, work.resources)
        folds = work.sweep.settings.folds
        if folds is None:
            dataset = (yield from with_validation(session, plan.data.split)).dataset
            count = len({dataset.digests[at] for at in dataset.part("validation")})
            work.images[resizing] = _Images(dataset, (dataset,), count)
        else:
            dataset = session.dataset
            every = replace(dataset, splits=("train",) * len(dataset.splits))
            splits = tuple(folds_of(dataset, folds, plan.data.split))
            work.images[resizing] = _Images(every, splits, len(set(dataset.digests)))
    return work.images[resizing]


def _next_round(work: _Work) -> list[Proposal]:
    """Returns what is to be tried next: the first numbers that no trial which ended has."""
    settings = work.sweep.settings
    # The median pruner compares with trials that finished.
    learns = settings.method == "tpe" or settings.pruning == "median" or work.sweep.seconds is not None
    free = (number for number in itertools.count(1) if number not in work.trials)
    found: list[Proposal] = []
    for number in itertools.takewhile(lambda number: work.wanted is None or number <= work.wanted, free):
        if learns and len(found) == _ROUND:
            break
        proposal = work.proposals.propose(number)
        if proposal is None:
            break
        found.append(proposal)
    return found


def _make(work: _Work, proposed: Sequence[Proposal]) -> Generator[Event, None, None]:
    """Trains the trials of a round."""
    groups: dict[str, list[Candidate]] = {}
    known = dict(work.known)
    duplicates: list[tuple[Candidate, int]] = []
    for proposal in proposed:
        try:
            plan = replace(trial_plan(work.sweep, proposal.space, proposal.values), linear_probe=False, reject=None)
        except SurgeonError as error:
            yield work.add(Trial(proposal.number, proposal.named, {}, "failed", None, reason=str(error)))
            continue
        candidate = Candidate(proposal.number, plan, proposal.named)
        first = known.setdefault(work_key(plan.recipe), proposal.number)
        if first == proposal.number:
            groups.setdefault(backbone_key(plan), []).append(candidate)
        else:
            duplicates.append((candidate, first))
    for key, candidates in groups.items():
        yield from _make_group(work, key, candidates)
        if work.wanted is not None and proposed[-1].number >= work.wanted:
            work.shared.pop(key).resources.close()  # no later round comes back to it
    for candidate, first in duplicates:
        if (other := work.trials.get(first)) is not None:
            same = (other.objective, other.folds, f"of trial {first}")
            yield work.add(Trial(candidate.number, candidate.values, candidate.plan.recipe, "duplicate", *same))


def _make_group(work: _Work, key: str, candidates: Sequence[Candidate]) -> Generator[Event, None, None]:
    """Trains trials of one backbone, on each fold."""
    shared = work.shared.setdefault(key, Shared(work.resources.enter_context(ExitStack())))
    images = yield from _open_images(work, candidates[0].plan)
    candidates = yield from _sound(work, candidates, images.splits[0].splits.count("train"))
    try:
        with closing(shared.keep(candidates, images.every, in_folds=len(images.splits) > 1)) as events:
            for event in events:
                yield event
                if work.is_over():
                    return
    except SurgeonError as error:
        for candidate in candidates:
            yield work.add(_trial(work, candidate, [Standing(error=str(error))]))
        return
    yield from _train_on_splits(work, candidates, shared, images.splits)


def _sound(work: _Work, candidates: Sequence[Candidate], images: int) -> Generator[Event, None, list[Candidate]]:
    """Returns the trials whose schedules fit the number of training images, which nobody knew before; others fail."""
    found = []
    for candidate in candidates:
        try:
            check_pace(candidate.plan, images)
        except SurgeonError as error:
            yield work.add(_trial(work, candidate, [Standing(error=str(error))]))
        else:
            found.append(candidate)
    return found


def _train_on_splits(
    work: _Work, candidates: Sequence[Candidate], shared: Shared, splits: Sequence[Dataset]
) -> Generator[Event, None, None]:
    """Trains trials on each split in turn, but for those that have ended on one before."""
    reached: dict[int, list[Standing]] = {candidate.number: [] for candidate in candidates}
    for number, dataset in enumerate(splits, start=1):
        left = {candidate.number: candidate for candidate in candidates if candidate.number not in work.trials}
        if not left or work.is_over():
            return
        course = Course(shared, dataset, _limits(work, is_first=number == 1))
        for event in train_candidates(list(left.values()), course):
            if not isinstance(event, Ended):
                yield event
                continue
            standings = reached[event.number]
            standings.append(event.standing)
            if event.standing.is_over or number == len(splits):
                yield work.add(_trial(work, left[event.number], standings))


def _limits(work: _Work, *, is_first: bool) -> Limits:
    """Returns what ends trials early; of several folds the first tells which are hopeless."""
    settings = work.sweep.settings

    def is_hopeless(number: int, history: History) -> bool:
        if settings.pruning == "none" or not is_first:
            return False
        figures = history[settings.objective]
        found = work.proposals.is_hopeless(number, len(figures), figures[-1])
        if found:
            work.reasons[number] = f"hopeless after epoch {len(figures)} of its last phase ({settings.pruning})"
        return found

    return Limits(work.is_over, is_hopeless)


def _trial(work: _Work, candidate: Candidate, standings: Sequence[Standing]) -> Trial:
    """Returns what a trial came to on the folds that it was trained on."""
    objective, plan, last = work.sweep.settings.objective, candidate.plan, standings[-1]
    whole = [standing for standing in standings if len(standing.phases) == len(plan.phases)]
    figures = tuple(standing.phases[-1].at_end(objective) for standing in whole)
    state, reason = "finished", ""
    if last.error or not all(map(math.isfinite, figures)):
        state, reason = "failed", last.error or f"{objective} is not a finite number"
    elif last.is_ended:
        state, reason = "pruned", work.reasons.get(candidate.number, "the budget was spent")
    return Trial(
        number=candidate.number,
        values=candidate.values,
        recipe=plan.recipe,
        state=state,
        objective=float(np.mean(figures)) if figures and state != "failed" else None,
        folds=figures if state == "finished" else (),
        reason=reason,
        phases=standings[0].phases,
        together=max(standing.together for standing in standings),
        seconds=sum(standing.seconds for standing in standings),
    )
