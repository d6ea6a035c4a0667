"""What can go wrong, said so that a reader can mend it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from surgeon.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Location:
    """A place in a file; ``line`` and ``column`` count from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


@dataclass(frozen=True)
class Diagnostic:
    """One problem of a recipe: where it is, what was found, what to do next.

    Attributes:
        code: A stable name for this kind of problem, such as ``unknown-key``.
        message: What was found and what was expected.
        location: Where the offending value stands.
        path: The value's path inside the recipe, such as ``phases[1].trainable``; empty for the whole file.
        hint: What to do next, or None.
    """

    code: str
    message: str
    location: Location
    path: str = ""
    hint: str | None = None

    def __str__(self) -> str:
        subject = f"{self.path}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        return printable(f"{self.location}: {subject}{self.message}{hint}")


class SurgeonError(Exception):
    """A problem that the user can mend; its text is all that the user sees.

    Args:
        message: What was found and what was expected.
        hint: What to do next.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SurgeonError):
    """The call itself is wrong: an unknown name, an output folder that exists."""

    exit_code = 2


class RecipeError(SurgeonError):
    """A recipe with problems, all of them at once."""

    exit_code = 2

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))


class BadImageError(Exception):
    """An image that cannot be read or decoded wholly; never a reason to lose the others.

    Args:
        reason: What is wrong with it, said to a person.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LargeImageError(BadImageError):
    """An image that has more pixels, or takes longer to decode, than it may."""


def require_modules(what: str, modules: Iterable[str], extra: str) -> None:
    """Makes sure that modules of an extra are installed.

    Args:
        what: What needs them.
        modules: Their names.
        extra: The extra of surgeon that brings them.

    Raises:
        SurgeonError: If one is not.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise SurgeonError(
            f"{what} needs {', '.join(missing)}, which is not installed", f"pip install 'surgeon[{extra}]'"
        )


def quote(value: object) -> str:
    """Returns a value as a message shows it: on one line, and short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def did_you_mean(found: object, known: Iterable[str]) -> str | None:
    """Returns ``did you mean 'x'?`` for the known spelling nearest to ``found``, or None if none is near."""
    by_key = {_spelling_key(name): name for name in known}
    near = difflib.get_close_matches(_spelling_key(str(found)), by_key, n=1, cutoff=0.6)
    return f"did you mean {by_key[near[0]]!r}?" if near else None


def _spelling_key(name: str) -> str:
    """Folds case and separators, so that ``EfficientNet-B0`` is near ``efficientnetb0``."""
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")
