"""The recipes that the values of a sweep make, and what is wrong with them."""

from __future__ import annotations

import itertools
import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from surgeon.errors import Diagnostic, RecipeError
from surgeon.recipe.document import Document, with_value
from surgeon.recipe.space import Space, Varied, applied
from surgeon.recipe.validate import validate
from surgeon.text import first_few

_MOST_COMBINATIONS = 1000  # that are checked before the first trial; of more a part, and the others when they come up
_SHOWN = 3  # combinations that a problem is said of


def check_combinations(base: Document, spaces: Sequence[Space]) -> list[Diagnostic]:
    """Returns what is wrong with the recipes of a sweep, each problem once, with the values that it takes."""
    problems: list[Diagnostic] = []
    for whole in spaces:
        space = _leading_somewhere(base, whole, problems)
        checked = list(_combinations(space))
        found: dict[tuple[str, str, str], tuple[Diagnostic, list[Sequence[Any]]]] = {}
        for values in checked:
            for problem in _problems_of(base, space, values):
                found.setdefault(_key(problem), (problem, []))[1].append(values)
        for problem, having in found.values():
            located = _located(problem, space)
            is_in_all = len(having) == len(checked)
            problems.append(_of_all(base, located, space) if is_in_all else _with_cause(located, space, having))
    return problems


def _leading_somewhere(base: Document, space: Space, problems: list[Diagnostic]) -> Space:
    """Returns what is varied at paths that there are; the others are problems, and hide none of these."""
    found = []
    for varied in space:
        try:
            base = with_value(base, varied.path, varied.samples[0], varied.location)
        except RecipeError as error:
            problems += error.diagnostics
        else:
            found.append(varied)
    return tuple(found)


def _key(problem: Diagnostic) -> tuple[str, str, str]:
    return problem.code, problem.path, problem.message


def _located(problem: Diagnostic, space: Space) -> Diagnostic:
    """Returns a problem where what it is about is varied, if it is."""
    varied = next((one for one in space if re.match(rf"{re.escape(problem.path)}(?![\w-])", one.path)), None)
    if varied is not None and all(problem.location != one.location for one in space):
        return replace(problem, location=varied.location)
    return problem


def _of_all(base: Document, problem: Diagnostic, space: Space) -> Diagnostic:
    """Returns a problem of all combinations; where it is about another path, at the one that is enough to cause it."""
    is_own = _key(problem) in map(_key, _problems_of(base, (), ()))
    if is_own or any(problem.location == one.location for one in space):
        return problem
    for varied in space:
        values = varied.samples[:1]
        if _key(problem) in map(_key, _problems_of(base, (varied,), values)):
            cause = _spelled([(varied, values[0])])
            return replace(problem, message=f"{problem.message}, with {cause}", location=varied.location)
    return problem


def _with_cause(problem: Diagnostic, space: Space, combinations: Sequence[Sequence[Any]]) -> Diagnostic:
    """Returns a problem with the values that all combinations which have it share, or some."""
    shared = [
        (varied, value)
        for at, (varied, value) in enumerate(zip(space, combinations[0], strict=True))
        if len(varied.samples) > 1 and all(values[at] == value for values in combinations)
    ]
    if len(shared) == 1 and shared[0][0].location == problem.location:
        return problem
    every = [list(zip(space, values, strict=True)) for values in combinations]
    causes = [_spelled(one) for one in ([shared] if shared else every)]
    hint = "put values that do not go together into separate mappings: vary: [{...}, {...}]"
    return replace(
        problem,
        message=f"{problem.message}, with {'; '.join(first_few(causes, _SHOWN))}",
        hint=f"{problem.hint}; {hint}" if problem.hint else hint,
    )


def _spelled(values: Sequence[tuple[Varied, Any]]) -> str:
    """Returns a combination as a line of text."""
    return ", ".join(f"{varied.path}: {json.dumps(value, ensure_ascii=False)}" for varied, value in values)


def _problems_of(base: Document, space: Space, values: Sequence[Any]) -> Sequence[Diagnostic]:
    try:
        return validate(applied(base, space, values)).problems
    except RecipeError as error:
        return error.diagnostics


def _combinations(space: Space) -> Iterator[tuple[Any, ...]]:
    """Yields all combinations of values and ends of ranges or, where there are too many, some of them."""
    sizes = [len(varied.samples) for varied in space]
    total = math.prod(sizes)
    if total <= _MOST_COMBINATIONS:
        yield from itertools.product(*(varied.samples for varied in space))
        return
    draws = random.Random(0)
    for number in range(max(_MOST_COMBINATIONS, *sizes)):
        # Each value comes up, since the number runs through all of them.
        drawn = [number if number < size else draws.randrange(size) for size in sizes]
        yield tuple(varied.samples[at] for varied, at in zip(space, drawn, strict=True))
