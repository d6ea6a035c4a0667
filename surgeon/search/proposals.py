"""What a sweep tries next: Optuna proposes, and is told what it came to.

A proposal is drawn with a seed of its own, which follows from the sweep's seed and the trial's number: a sweep that was
stopped goes on with the trials that it would have tried. Proposals are made in memory; what has ended is put into a
database, for Optuna's dashboard and for the next process to learn from.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from surgeon.errors import SurgeonError
from surgeon.recipe.space import Range, Space, Varied
from surgeon.recipe.sweep import Sweep, own_values

_SPACE = "vary"  # which of several spaces
_NUMBER = "trial"  # of the sweep, which is not that of the study


@dataclass(frozen=True)
class Proposal:
    """A trial that is to be made.

    Attributes:
        number: From 1.
        space: What is varied in it.
        values: One for each path of the space.
    """

    number: int
    space: Space
    values: tuple[Any, ...]

    @property
    def named(self) -> dict[str, Any]:
        """The values by path."""
        return {varied.path: value for varied, value in zip(self.space, self.values, strict=True)}


class Proposals:
    """The study of a sweep."""

    def __init__(self, sweep: Sweep, storage: str, name: str) -> None:
        """Opens the study, or begins it.

        Args:
            sweep: What is searched.
            storage: The URL of a database, as SQLAlchemy spells it.
            name: Of the study in the storage.

        Raises:
            SurgeonError: If the storage cannot be used.
        """
        self._sweep = sweep
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        is_loss = sweep.settings.objective == "val_loss"
        direction = StudyDirection.MINIMIZE if is_loss else StudyDirection.MAXIMIZE
        try:
            self._kept = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
            known = self._kept.get_trials()
        except Exception as error:  # of any database's driver
            raise SurgeonError(f"cannot use the storage {storage}: {error}", "give another --storage") from error
        self._study = optuna.create_study(study_name=name, direction=direction, pruner=_pruner(sweep))
        self._study.add_trials(known)
        self._told = {trial.user_attrs.get(_NUMBER) for trial in known}
        self._begun: dict[int, optuna.trial.Trial] = {}
        self._grid = _grid(sweep) if sweep.settings.method == "grid" else None

    def propose(self, number: int) -> Proposal | None:
        """Returns the trial with a number, from 1; None if a grid has no more."""
        if self._grid is not None:
            if number > len(self._grid):
                return None
            self._study.enqueue_trial(self._grid[number - 1])
        elif number == 1 and (own := _own(self._sweep)):
            self._study.enqueue_trial(own)  # what is found is compared with what there was
        seed = int(np.random.SeedSequence((self._sweep.plan.seed, number)).generate_state(1)[0])
        self._study.sampler = _sampler(self._sweep.settings.method, seed)
        spaces = self._sweep.spaces
        trial = self._begun[number] = self._study.ask()
        at = trial.suggest_int(_SPACE, 0, len(spaces) - 1) if len(spaces) > 1 else 0
        values = [_draw(trial, *pair) for pair in zip(spaces[at], _names(spaces, at), strict=True)]
        return Proposal(number, spaces[at], tuple(values))

    def is_hopeless(self, number: int, epoch: int, figure: float) -> bool:
        """Notes what a trial has come to after an epoch of its last phase, and tells whether it is to be ended."""
        if not np.isfinite(figure):
            return False
        self._begun[number].report(figure, epoch)
        return self._begun[number].should_prune()

    def tell(self, number: int, state: str, figure: float | None) -> None:
        """Notes how a trial ended: ``finished``, ``pruned`` or ``failed``.

        Raises:
            SurgeonError: If the storage cannot be used any more.
        """
        trial = self._begun.pop(number)
        trial.set_user_attr(_NUMBER, number)
        states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        ended = self._study.tell(trial, figure if state == "finished" else None, states[state])
        if number in self._told:  # a process was killed between this and the trial's file
            return
        try:
            self._kept.add_trial(ended)
        except Exception as error:  # of any database's driver
            raise SurgeonError(f"cannot use the storage: {error}", "fix this and continue with --resume") from error
        self._told.add(number)

    def importances(self) -> dict[str, float]:
        """Returns how much of the differences between trials each path explains, the largest first."""
        if len(self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < 4:
            return {}
        try:
            with warnings.catch_warnings(action="ignore"):
                found = optuna.importance.get_param_importances(
                    self._study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
                )
        except (ValueError, RuntimeError):  # all trials came to the same, or no path is part of them all
            return {}
        return {name: float(part) for name, part in found.items() if np.isfinite(part)}


def _sampler(method: str, seed: int) -> optuna.samplers.BaseSampler:
    if method == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(sweep: Sweep) -> optuna.pruners.BasePruner:
    pruners: Mapping[str, optuna.pruners.BasePruner] = {
        "none": optuna.pruners.NopPruner(),
        "median": optuna.pruners.MedianPruner(n_warmup_steps=1),
        "hyperband": optuna.pruners.HyperbandPruner(max_resource=sweep.plan.phases[-1].epochs),
    }
    return pruners[sweep.settings.pruning]


def _names(spaces: Sequence[Space], at: int) -> list[str]:
    """Returns what each path of a space is called in the study."""
    suffix = f" ({_SPACE}[{at}])" if len(spaces) > 1 else ""
    return [varied.path + suffix for varied in spaces[at]]


def _draw(trial: optuna.trial.Trial, varied: Varied, name: str) -> Any:
    values = varied.values
    if not isinstance(values, Range):
        spelled = {_spelled(value): value for value in values}
        return spelled[trial.suggest_categorical(name, list(spelled))]
    if values.is_integer:
        return trial.suggest_int(name, int(values.low), int(values.high))
    return trial.suggest_float(name, values.low, values.high, log=values.is_log)


def _spelled(value: Any) -> Any:
    """Returns a value in the form that a study holds: text and numbers as they are, all else as JSON."""
    is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return value if is_plain else json.dumps(value)


def _own(sweep: Sweep) -> dict[str, Any] | None:
    """Returns the combination that is the recipe itself, as a study names and holds it; None if no space has it."""
    for at, space in enumerate(sweep.spaces):
        if (values := own_values(sweep, space)) is not None:
            return _held(sweep, at, values)
    return None


def _held(sweep: Sweep, at: int, values: Sequence[Any]) -> dict[str, Any]:
    """Returns a combination of values of a space as a study names and holds it."""
    chosen = {_SPACE: at} if len(sweep.spaces) > 1 else {}
    return chosen | dict(zip(_names(sweep.spaces, at), map(_spelled, values), strict=True))


def _grid(sweep: Sweep) -> list[dict[str, Any]]:
    """Returns all combinations; where fewer trials are wanted they are in an order that the seed draws."""
    found = []
    for at, space in enumerate(sweep.spaces):
        found += [_held(sweep, at, values) for values in itertools.product(*(varied.samples for varied in space))]
    wanted = sweep.settings.trials
    if (wanted is not None and wanted < len(found)) or sweep.seconds is not None:
        order = np.random.default_rng(sweep.plan.seed).permutation(len(found))
        return [found[place] for place in order]
    return found
