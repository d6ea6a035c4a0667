"""A recipe that was found: another one with some values changed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from surgeon.catalogue.schedules import with_highest_rate
from surgeon.errors import SurgeonError
from surgeon.recipe.compiler import validate_recipe
from surgeon.recipe.document import read_document
from surgeon.recipe.text import dump_text
from surgeon.text import printable


def with_rate(base: Path, number: int, rate: float) -> list[dict[str, Any]]:
    """Returns the phases of a recipe as they are written, with another learning rate for one of them.

    Args:
        base: The recipe's file.
        number: The phase's, from 1.
        rate: The highest of its schedule.
    """
    phases = list(read_document(base).values["phases"])
    phases[number - 1] = {**phases[number - 1], "lr": _scaled(phases[number - 1]["lr"], rate)}
    return phases


def with_depth(base: Path, trainable: str, rate: float) -> list[dict[str, Any]]:
    """Returns the phases of a recipe as they are written, with what the last one trains, and its highest rate."""
    *before, last = read_document(base).values["phases"]
    return [*before, {**last, "trainable": trainable, "lr": _scaled(last["lr"], rate)}]


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
    folder, file = target.parent.resolve(), base.resolve()
    with suppress(ValueError):  # on another drive
        file = Path(os.path.relpath(file, folder))
    values = {"recipe": 1, "extends": file.as_posix(), **changed}
    if "expected" in read_document(base).values:  # what its author measured does not hold for this one
        values["expected"] = None
    comments = "".join(f"# {printable(reason)}\n" for reason in reasons)
    target.write_text(comments + dump_text(values), encoding="utf-8")
    problems = validate_recipe(target)
    if problems:
        target.unlink()
        lines = "\n".join(map(str, problems))
        raise SurgeonError(
            f"{target} was not written, since the suggestion does not fit the rest of the recipe:\n{lines}",
            "change that in the recipe, or copy the suggestion by hand",
        )
