"""What was found: about images, and between two runs or recipes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from string import hexdigits
from typing import Any

SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """Something about the images that a person should know before a run.

    Attributes:
        kind: A stable name, such as ``leak``.
        severity: One of ``SEVERITIES``; an error makes a run fail or its measures wrong.
        files: The images that it is about, as their source names them; none if it is about all.
        message: What was found, with some of the files, and what to do about it.
    """

    kind: str
    severity: str
    files: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Difference:
    """A value that differs between two runs, recipes or results.

    Attributes:
        part: What it belongs to, such as ``recipe`` or ``images``.
        name: Which value of it, such as a path or a file.
        before: The value, a digest for what is large; None if there was none.
        after: The same of the other.
    """

    part: str
    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        name = " ".join(filter(None, [self.part, self.name]))
        if self.before is None:
            return f"{name}: {short_value(self.after)} is new"
        if self.after is None:
            return f"{name}: {short_value(self.before)} is gone"
        return f"{name}: was {short_value(self.before)}, is {short_value(self.after)}"


def short_value(value: Any) -> str:
    """Returns a value as JSON, and of a SHA-256 the beginning; nothing for None."""
    if value is None:
        return ""
    is_digest = isinstance(value, str) and len(value) == 64 and not set(value) - set(hexdigits)
    return f"{value[:12]}..." if is_digest else json.dumps(value, ensure_ascii=False)
