"""The long form of ``augment``, whose order is explicit: ``changes: [{flip: horizontal}, {rotation: 0.1}]``."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from surgeon.errors import Diagnostic
from surgeon.recipe.document import Document
from surgeon.recipe.text import ValuePath, spell_path

_AUGMENT: ValuePath = ("augment",)
_CHANGES: ValuePath = ("augment", "changes")
_AT = re.compile(r"augment\.changes\[(\d+)\]")


def in_short(document: Document, known: Collection[Diagnostic]) -> tuple[Document, list[Diagnostic]]:
    """Returns a document with the changes of images in the short form, each where it was written, and what is wrong.

    A change that stands there twice, or beside the list, could not be told apart in the short form and is a problem.

    Args:
        document: As it was read.
        known: Its problems so far; changes that have one are left out.
    """
    augment = document.values.get("augment") if isinstance(document.values, dict) else None
    if not isinstance(augment, dict) or not isinstance(changes := augment.get("changes"), list):
        return document, []
    short: dict[str, Any] = {name: value for name, value in augment.items() if name != "changes"}
    beside = [name for name in short if name != "views"]
    problems = [
        _problem(document, (*_AUGMENT, name), "conflicting-keys", f"{name!r} is outside 'changes'", "list it in there")
        for name in beside
    ]
    locations = {path: place for path, place in document.locations.items() if path[:2] != _CHANGES}
    broken = {int(found[1]) for problem in known if (found := _AT.match(problem.path))}
    for at, change in enumerate(changes):
        if at in broken:
            continue
        written = {change: {}} if isinstance(change, str) else change
        ((name, value),) = written.items()
        if name in short and name not in beside:
            message = f"{name!r} is listed twice"
            problems.append(_problem(document, (*_CHANGES, at), "duplicate-name", message, "keep one of them"))
            continue
        short[name] = value
        own = (*_CHANGES, at, name) if isinstance(change, dict) else (*_CHANGES, at)
        for path, place in document.locations.items():
            if path[: len(own)] == own:
                locations[(*_AUGMENT, name, *path[len(own) :])] = place
    return replace(document, values={**document.values, "augment": short}, locations=locations), problems


def _problem(document: Document, path: ValuePath, code: str, message: str, hint: str) -> Diagnostic:
    return Diagnostic(code, message, document.location(path), spell_path(path), hint)
