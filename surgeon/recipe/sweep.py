"""The sweep of a recipe, ready to be searched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surgeon.errors import Diagnostic, RecipeError, SurgeonError
from surgeon.recipe.compiler import check_document, compile_document
from surgeon.recipe.complete import shorten
from surgeon.recipe.document import Document, value_at
from surgeon.recipe.plan import Plan, SweepPlan
from surgeon.recipe.space import Range, Space, Varied, applied, base_of, read_spaces, seconds_of


@dataclass(frozen=True)
class Sweep:
    """A recipe with what is varied of it.

    Attributes:
        plan: Of the recipe itself.
        base: The resolved recipe that each trial changes.
        settings: How to search.
        spaces: What is varied together; of several spaces each is one by itself.
        seconds: The budget; None without one.
    """

    plan: Plan
    base: Document
    settings: SweepPlan
    spaces: tuple[Space, ...]
    seconds: float | None

    @property
    def size(self) -> int | None:
        """How many combinations there are; None if ranges make them endless."""
        if any(isinstance(varied.values, Range) for space in self.spaces for varied in space):
            return None
        return sum(math.prod(len(varied.samples) for varied in space) for space in self.spaces)


def open_sweep(document: Document) -> Sweep:
    """Returns the sweep of a recipe, checked: its paths, its values, and the recipes that their combinations make.

    Raises:
        RecipeError: With every problem of the recipe and, if there is none outside the sweep, of the combinations.
    """
    if problems := check_document(document):
        raise RecipeError(problems)
    plan = compile_document(document)
    if plan.sweep is None:
        hint = "say what to vary: sweep: {vary: {...}, trials: 30}"
        raise RecipeError([Diagnostic("missing-key", "'sweep' is missing", document.location(()), "sweep", hint)])
    spaces, _ = read_spaces(document, plan.recipe["sweep"])
    seconds = seconds_of(plan.sweep.budget) if plan.sweep.budget else None
    return Sweep(plan, base_of(document, plan.recipe), plan.sweep, spaces, seconds)


def trial_plan(sweep: Sweep, space: Space, values: Sequence[Any]) -> Plan:
    """Returns the plan of a trial.

    Raises:
        RecipeError: With what is wrong with this combination.
    """
    return compile_document(applied(sweep.base, space, values))


def own_values(sweep: Sweep, space: Space) -> tuple[Any, ...] | None:
    """Returns those values of a space that the recipe has itself, or None if it has another one somewhere."""
    recipe = compile_document(sweep.base).recipe
    found = []
    for varied in space:
        own = [value for value in _candidates(sweep, varied) if _resolved(sweep, varied, value) == recipe]
        if not own:
            return None
        found.append(own[0])
    return tuple(found)


def _candidates(sweep: Sweep, varied: Varied) -> tuple[Any, ...]:
    """Returns the values of a path that may be the recipe's own: all of a list, and of a range what stands there."""
    if not isinstance(varied.values, Range):
        return varied.values
    value = value_at(shorten(sweep.base.values), varied.path)
    is_number = isinstance(value, int if varied.values.is_integer else int | float) and not isinstance(value, bool)
    return (value,) if is_number and varied.values.low <= value <= varied.values.high else ()


def _resolved(sweep: Sweep, varied: Varied, value: Any) -> Mapping[str, Any] | None:
    """Returns the resolved recipe with one value, or None if it makes sense only beside others of its space."""
    try:
        return trial_plan(sweep, (varied,), (value,)).recipe
    except SurgeonError:
        return None
