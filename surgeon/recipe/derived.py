"""A recipe that was found: another one with some values changed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surgeon.catalogue.schedules import with_highest_rate
from surgeon.errors import SurgeonError, UsageError
from surgeon.recipe.compiler import validate_recipe
from surgeon.recipe.document import read_document
from surgeon.recipe.text import dump_text
from surgeon.text import printable


def check_derivable(target: Path, overrides: Sequence[str]) -> None:
    """Says before the long work that a recipe cannot be written afterwards.

    Raises:
        UsageError: If the file is there already, or there are ``--set`` assignments.
    """
    if os.path.lexists(target):
        raise UsageError(f"{target} exists", "give another --write")
    if overrides:
        raise UsageError("--write extends the recipe's file, which --set is no part of", "write it into the file first")


def with_rate(base: Path, number: int, rate: float) -> list[dict[str, Any]]:
    """Returns the phases of a recipe as they are written, with another learning rate for one of them.

    Args:
        base: The recipe's file.
        number: The phase's, from 1; -1 for the last.
        rate: What the schedule starts from or rises to; of several rates the highest.
    """
    phases = read_document(base).values["phases"]
    return [
        {**phase, "lr": _scaled(phase["lr"], rate)} if at == number else phase for at, phase in enumerate(phases, 1)
    ]


def with_depth(base: Path, trainable: str, rate: float | None) -> list[dict[str, Any]]:
    """Returns the phases of a recipe as they are written, with what the last one trains and its rate, if given."""
    phases = list(read_document(base).values["phases"]) if rate is None else with_rate(base, -1, rate)
    phases[-1] = {**phases[-1], "trainable": trainable}
    return phases


def _scaled(lr: Any, rate: float) -> Any:
    if not isinstance(lr, dict):
        return rate
    ((name, parameters),) = lr.items()
    return {name: with_highest_rate(name, parameters, rate) if isinstance(parameters, dict) else rate}


def write_derived(base: Path, changed: Mapping[str, Any], reasons: Sequence[str], target: Path) -> None:
    """Writes a recipe that extends another one.

    Args:
        base: The other recipe's file.
        changed: What differs; None removes a key.
        reasons: Why, a line of comment each.
        target: The new file.

    Raises:
        SurgeonError: If the new recipe has problems; then it is not written.
    """
    values = {"recipe": 1, "extends": os.path.relpath(base, target.parent), **changed}
    comments = "".join(f"# {printable(reason)}\n" for reason in reasons)
    target.write_text(comments + dump_text(values), encoding="utf-8")
    problems = validate_recipe(target)
    if problems:
        target.unlink()
        lines = "\n".join(map(str, problems))
        raise SurgeonError(
            f"{target} is not written, since the rest of the recipe does not fit what was found:\n{lines}",
            "change that in the recipe, or take over by hand what was found",
        )
