"""What differs between two locks, recipes or results, value by value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from surgeon.recipe.text import ValuePath, leaves, spell_path
from surgeon.results.findings import Difference


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Returns what differs between JSON values whose keys are the names of their parts, in the order of ``before``."""
    parts = dict.fromkeys([*before, *after])
    return tuple(found for part in parts for found in _differences(part, before.get(part, {}), after.get(part, {})))


def _differences(part: str, before: Any, after: Any) -> Iterator[Difference]:
    old, new = dict(leaves(before)), dict(leaves(after))
    for path in dict.fromkeys([*old, *new]):
        if old.get(path) != new.get(path):
            yield Difference(part, _name(part, path), old.get(path), new.get(path))


def _name(part: str, path: ValuePath) -> str:
    """Returns a value's name: its path in a recipe, elsewhere keys that are names themselves, of files for example."""
    return spell_path(path) if part == "recipe" else ".".join(str(key) for key in path)
