"""A sweep: trials that Optuna proposes, trained behind what they share, each with a file of its own once it ends."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from surgeon.errors import SurgeonError
from surgeon.recipe.pace import check_pace
from surgeon.recipe.sweep import Sweep, trial_plan
from surgeon.recipe.text import dump_text
from surgeon.results.events import Event, TrialEnded
from surgeon.results.sweep import SweepResult, Trial
from surgeon.runs.folder import write_whole
from surgeon.runs.sweep_folder import BEST, read_trials, write_sweep, write_trial
from surgeon.search.images import open_images, with_validation
from surgeon.search.proposals import Proposal, Proposals
from surgeon.search.shared import Shared, backbone_key
from surgeon.search.trials import Candidate, Ended, History, Limits, Standing, train_candidates

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
    work = _Work(sweep, folder, Proposals(sweep, storage, folder.resolve().name))
    with work.resources:
        while proposed := _next_round(work):
            work.proposed = proposed
            yield from _make(work)
            work.write()
        return work.write()


@dataclass(eq=False)
class _Work:
    """A sweep that is being made.

    Attributes:
        trials: Those that ended, by number.
        proposed: Those of the present round.
        shared: What is kept for the trials of each backbone.
        images: The images in each size, with their splits.
        reasons: Why trials were ended, by number.
        before: Seconds that former processes worked on it.
    """

    sweep: Sweep
    folder: Path
    proposals: Proposals
    resources: ExitStack = field(default_factory=ExitStack)
    trials: dict[int, Trial] = field(default_factory=dict)
    proposed: list[Proposal] = field(default_factory=list)
    shared: dict[str, Shared] = field(default_factory=dict)
    images: dict[tuple[int, int], _Images] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    before: float = 0.0

    def __post_init__(self) -> None:
        self.trials = {trial.number: trial for trial in read_trials(self.folder)}
        self.before = max((trial.ended for trial in self.trials.values()), default=0.0)

    @property
    def seconds(self) -> float:
        """How long all processes worked on it so far."""
        return self.before + time.perf_counter() - self.started

    @property
    def wanted(self) -> int | None:
        """How many trials there are to be; None if only the budget says."""
        counts = [count for count in (self.sweep.settings.trials, self.sweep.size) if count is not None]
        return min(counts, default=None)

    def is_over(self) -> bool:
        """Tells whether the budget is spent."""
        return self.sweep.seconds is not None and self.seconds >= self.sweep.seconds

    def is_cut_short(self) -> bool:
        """Tells whether the budget is spent and there would have been more trials."""
        return self.is_over() and (self.wanted is None or len(self.trials) < self.wanted)

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
        result = self.result({})
        write_sweep(self.folder, result)
        if result.best is trial:
            write_whole(self.folder / BEST, best_recipe(result))
        return TrialEnded(trial, result.best, len(self.trials), self.wanted, self.seconds, self.seconds_left())

    def result(self, importances: dict[str, float]) -> SweepResult:
        """Returns what it has come to so far."""
        settings, plan = self.sweep.settings, self.sweep.plan
        return SweepResult(
            name=plan.name,
            objective=settings.objective,
            images=min((images.count for images in self.images.values()), default=0),
            folds=settings.folds or 1,
            method=settings.method,
            pruning=settings.pruning,
            trials=tuple(self.trials[number] for number in sorted(self.trials)),
            importances=importances,
            seconds=self.seconds,
            stopped=f"the budget of {settings.budget} was spent" if self.is_cut_short() else "",
        )

    def write(self) -> SweepResult:
        """Writes what it has come to so far, and the best recipe."""
        result = self.result(self.proposals.importances())
        write_sweep(self.folder, result)
        if result.best is not None:
            write_whole(self.folder / BEST, best_recipe(result))
        return result


def best_recipe(result: SweepResult) -> str:
    """Returns the text of the recipe of the best trial, which needs no other file."""
    best = result.best
    if best is None:
        raise AssertionError("no trial finished")
    values = "".join(f"#   {path}: {json.dumps(value)}\n" for path, value in best.values.items())
    return (
        f"# The best of {len(result.trials)} trials of a sweep: {result.objective} {best.objective:.4f}\n"
        f"# in trial {best.number}, with\n{values}{dump_text(best.recipe)}"
    )


@dataclass(frozen=True, eq=False)
class _Images:
    """The images of a sweep in one size.

    Attributes:
        every: All of them, called as the frozen layers need it.
        splits: The same as they are trained on and validated: once, or for each fold.
        count: How many different ones the objective is measured on.
    """

    every: Dataset
    splits: Sequence[Dataset]
    count: int


def _open_images(work: _Work, plan: Plan) -> Generator[Event, None, _Images]:
    size = plan.data.image_size
    if size not in work.images:
        session = yield from open_images(plan, work.resources)
        folds = work.sweep.settings.folds
        if folds is None:
            dataset = (yield from with_validation(session, plan.data.split.seed)).dataset
            count = len({dataset.digests[at] for at in dataset.part("validation")})
            work.images[size] = _Images(dataset, (dataset,), count)
        else:
            dataset = session.dataset
            every = replace(dataset, splits=("train",) * len(dataset.splits))
            splits = tuple(_folds(dataset, folds, plan.data.split.seed))
            work.images[size] = _Images(every, splits, len(set(dataset.digests)))
    return work.images[size]


def _folds(dataset: Dataset, count: int, seed: int) -> Iterator[Dataset]:
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


def _next_round(work: _Work) -> list[Proposal]:
    """Returns what is to be tried next: the first numbers that no trial which ended has."""
    if work.is_over():
        return []
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


def _make(work: _Work) -> Generator[Event, None, None]:
    """Trains the trials of a round."""
    plans: dict[int, Plan] = {}
    known = {_identity(trial.recipe): trial.number for trial in work.trials.values() if trial.state != "duplicate"}
    duplicates: list[tuple[Proposal, Plan, int]] = []
    for proposal in work.proposed:
        try:
            plan = replace(trial_plan(work.sweep, proposal.space, proposal.values), linear_probe=False)
        except SurgeonError as error:
            yield work.add(Trial(proposal.number, proposal.named, {}, "failed", None, reason=str(error)))
            continue
        first = known.setdefault(_identity(plan.recipe), proposal.number)
        if first == proposal.number:
            plans[proposal.number] = plan
        else:
            duplicates.append((proposal, plan, first))
    groups: dict[str, list[int]] = {}
    for number, plan in plans.items():
        groups.setdefault(backbone_key(plan), []).append(number)
    for key, numbers in groups.items():
        yield from _make_group(work, key, [Candidate(number, plans[number]) for number in numbers])
    for proposal, plan, first in duplicates:
        if (other := work.trials.get(first)) is not None:
            reason = f"of trial {first}"
            yield work.add(
                Trial(proposal.number, proposal.named, plan.recipe, "duplicate", other.objective, other.folds, reason)
            )


def _identity(recipe: Any) -> str:
    return json.dumps({key: value for key, value in recipe.items() if key != "name"}, sort_keys=True)


def _make_group(work: _Work, key: str, candidates: Sequence[Candidate]) -> Generator[Event, None, None]:
    """Trains trials of one backbone, on each fold."""
    shared = work.shared.setdefault(key, Shared(work.resources.enter_context(ExitStack())))
    images = yield from _open_images(work, candidates[0].plan)
    candidates = yield from _sound(work, candidates, images.splits[0].splits.count("train"))
    plans = [candidate.plan for candidate in candidates]
    try:
        with closing(shared.keep(plans, images.every, in_folds=len(images.splits) > 1)) as events:
            for event in events:
                yield event
                if work.is_over():
                    return
    except SurgeonError as error:
        for candidate in candidates:
            yield work.add(_trial(work, candidate, [Standing(error=str(error))]))
        return
    yield from _train_on_splits(work, candidates, shared, images.splits)
    if work.wanted is not None and work.proposed[-1].number >= work.wanted:
        shared.resources.close()  # no later round comes back to it
        del work.shared[key]


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
        for event in train_candidates(list(left.values()), shared, dataset, _limits(work, is_first=number == 1)):
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
    (proposal,) = (one for one in work.proposed if one.number == candidate.number)
    return Trial(
        number=candidate.number,
        values=proposal.named,
        recipe=plan.recipe,
        state=state,
        objective=float(np.mean(figures)) if figures and state != "failed" else None,
        folds=figures if state == "finished" else (),
        reason=reason,
        phases=standings[0].phases,
        together=max(standing.together for standing in standings),
        seconds=sum(standing.seconds for standing in standings),
    )
