"""What a sweep varies: paths of a recipe with their values."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surgeon.errors import Diagnostic, Location, did_you_mean
from surgeon.recipe.check import describe
from surgeon.recipe.document import Document, with_value
from surgeon.recipe.text import ValuePath, spell_path

_RANGES = ("uniform", "log_uniform", "int_uniform")
_SECONDS = {"s": 1, "min": 60, "h": 3600}
_VARY: ValuePath = ("sweep", "vary")
# What trials are compared on has to be the same for all of them.
_FIXED = (
    *("data.source", "data.classes", "data.split", "data.folds", "data.fold", "data.on_leak", "data.on_bad_image"),
    *("sweep", "expected", "evaluate", "recipe"),
)


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; ``is_log`` if their logarithms are drawn evenly."""

    low: float
    high: float
    is_log: bool = False
    is_integer: bool = False


@dataclass(frozen=True)
class Varied:
    """A path of the recipe and what may stand there: a few values or a range of numbers."""

    path: str
    values: tuple[Any, ...] | Range
    location: Location

    @property
    def samples(self) -> tuple[Any, ...]:
        """The values, or the ends of the range and, where it has any, a number between them that is not whole."""
        if not isinstance(self.values, Range):
            return self.values
        low, high = self.values.low, self.values.high
        return (low, high) if self.values.is_integer else (low, high, float(f"{low + (high - low) / math.e:.4g}"))


Space = tuple[Varied, ...]


def seconds_of(text: str) -> float | None:
    """Returns the seconds that a duration such as ``20 min`` means; None if it is none."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h)\s*", text)
    return float(found[1]) * _SECONDS[found[2]] or None if found else None


def applied(base: Document, space: Space, values: Sequence[Any]) -> Document:
    """Returns a recipe with a combination of values.

    Raises:
        RecipeError: If a path leads nowhere.
    """
    for varied, value in zip(space, values, strict=True):
        base = with_value(base, varied.path, value, varied.location)
    return base


def read_spaces(document: Document, settings: Mapping[str, Any]) -> tuple[tuple[Space, ...], list[Diagnostic]]:
    """Returns what a sweep varies, and what is wrong with how that is written; what has a problem is left out.

    Args:
        document: The recipe as it was read, which tells where everything stands.
        settings: Its ``sweep``, resolved; what has a problem is None.
    """
    problems: list[Diagnostic] = []
    vary = settings.get("vary")
    spaces = () if vary is None else tuple(_spaces(document, vary, problems))
    problems += _settings_problems(document, settings, spaces)
    return spaces, problems


def base_of(document: Document, recipe: Mapping[str, Any]) -> Document:
    """Returns the resolved recipe of a sweep without the sweep and what the author measured of it."""
    values = {key: value for key, value in recipe.items() if key not in ("sweep", "expected")}
    return Document(document.path, values, document.locations)


def _spaces(document: Document, vary: Any, problems: list[Diagnostic]) -> Iterator[Space]:
    if not vary:
        problems.append(_problem(document, _VARY, "empty", "nothing is varied", "name a path and its values"))
    listed = [((*_VARY, at), space) for at, space in enumerate(vary)] if isinstance(vary, list) else [(_VARY, vary)]
    for where, space in listed:
        if not isinstance(space, dict) or not space:
            message = f"expected a mapping of paths to values, found {describe(space)}"
            problems.append(_problem(document, where, "wrong-type", message))
            continue
        found = [_varied(document, (*where, path), space[path], problems) for path in space]
        yield tuple(varied for varied in found if varied is not None)


def _varied(document: Document, where: ValuePath, given: Any, problems: list[Diagnostic]) -> Varied | None:
    path = str(where[-1])
    fixed = next((name for name in _FIXED if re.match(rf"{re.escape(name)}(?![\w-])", path)), None)
    if fixed is not None or path in ("data", "extends", "name"):
        message = f"{fixed or path} is the same for all trials, which are compared on the same images"
        problems.append(_problem(document, where, "not-an-option", message, "vary something else"))
        return None
    try:
        values = _range(given) if isinstance(given, dict) else _values(given)
    except ValueError as error:
        message, hint = error.args
        problems.append(_problem(document, where, "wrong-type", message, hint))
        return None
    return Varied(path, values, document.location(where))


def _values(given: Any) -> tuple[Any, ...]:
    if not isinstance(given, list) or not given:
        raise ValueError(f"expected a list of values or a range, found {describe(given)}", "for example [128, 256]")
    spelled = [json.dumps(value, sort_keys=True) for value in given]
    twice = [value for value, text in zip(given, spelled, strict=True) if spelled.count(text) > 1]
    if twice:
        raise ValueError(f"{describe(twice[0])} is listed twice", "keep one of them")
    return tuple(given)


def _range(given: Mapping[str, Any]) -> Range:
    name = next(iter(given), "")
    if len(given) != 1 or name not in _RANGES:
        hint = did_you_mean(name, _RANGES) or f"write {{{_RANGES[1]}: [1e-5, 1e-3]}}, or a list of values"
        raise ValueError(f"expected one range of {', '.join(_RANGES)}, found {', '.join(given) or 'nothing'}", hint)
    ends, is_integer = given[name], name == "int_uniform"
    numbers = isinstance(ends, list) and all(
        isinstance(end, int if is_integer else (int, float)) and not isinstance(end, bool) for end in ends
    )
    if not numbers or len(ends) != 2 or ends[0] >= ends[1]:
        kind = "whole numbers" if is_integer else "numbers"
        raise ValueError(f"expected two {kind}, the lower one first, found {json.dumps(ends)}", f"{name}: [low, high]")
    if name == "log_uniform" and ends[0] <= 0:
        raise ValueError(f"a logarithm needs numbers above 0, found {ends[0]:g}", "start above 0, or use uniform")
    return Range(ends[0], ends[1], is_log=name == "log_uniform", is_integer=is_integer)


def _settings_problems(
    document: Document, settings: Mapping[str, Any], spaces: Sequence[Space]
) -> Iterator[Diagnostic]:
    budget = settings.get("budget")
    if budget is not None and seconds_of(budget) is None:
        message = f"expected a duration such as 20 min, found {describe(budget)}"
        yield _problem(document, ("sweep", "budget"), "out-of-range", message, "write a number and s, min or h")
    if settings.get("method") == "grid":
        for varied in itertools.chain(*spaces):
            if isinstance(varied.values, Range):
                message = f"a grid needs a list of values for {varied.path}, found a range"
                hint = "list values, or choose another method"
                yield Diagnostic("not-an-option", message, varied.location, spell_path(("sweep", "method")), hint)
    elif not settings.keys() & {"trials", "budget"}:
        message, hint = "neither 'trials' nor 'budget' says when to stop", "add trials: 30 or budget: 20 min"
        yield _problem(document, ("sweep",), "missing-key", message, hint)


def _problem(document: Document, where: ValuePath, code: str, message: str, hint: str | None = None) -> Diagnostic:
    return Diagnostic(code, message, document.location(where), spell_path(where), hint)
