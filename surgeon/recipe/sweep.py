"""The sweep of a recipe, ready to be searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from surgeon.errors import Diagnostic, RecipeError
from surgeon.recipe.compiler import check_document, compile_document
from surgeon.recipe.document import Document
from surgeon.recipe.plan import Plan, SweepPlan
from surgeon.recipe.space import Range, Space, applied, base_of, read_spaces, seconds_of


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
