"""What can go wrong, said so that a reader can mend it."""

from __future__ import annotations

import difflib
import json
import shlex
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from subprocess import list2cmdline
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from surgeon.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

DISTRIBUTION = "network-surgeon"  # what pip calls surgeon; the `surgeon` on PyPI is another project


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
        is_named = not self.path or self.location.file == f"--set {self.path}"
        subject = "" if is_named else f"{self.path}: "
        hint = f"; {self.hint}" if self.hint else ""
        return printable(f"{self.location}: {subject}{self.message}{hint}")


class SurgeonError(Exception):
    """A problem that the user can fix. Its text, the message and the hint, is all that the user sees.

    Args:
        message: What was found and what was expected.
        hint: What to do next.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(SurgeonError):
    """The call itself is wrong, such as an unknown name or an output folder that already exists."""

    exit_code = 2


class RecipeError(SurgeonError):
    """All problems of a recipe, reported together."""

    exit_code = 2

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))


class RunInterruptedError(SurgeonError):
    """A user or the system stopped the work; the exit code is 128 plus the signal's number, as in a shell."""

    def __init__(self, number: int, hint: str | None = None) -> None:
        super().__init__("interrupted", hint)
        self.exit_code = 128 + number


class BadImageError(Exception):
    """An image that cannot be read or fully decoded; the other images are still processed.

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
        raise SurgeonError(f"{what} needs packages that are not installed: {', '.join(missing)}", install_hint(extra))


@cache
def install_hint(extra: str, *, travels: bool = False) -> str:
    """Returns the command that installs an extra of surgeon, ready for a shell.

    Where surgeon was installed from a checkout, that is what the command names: its extras are those of the checkout.

    Args:
        extra: The name of the extra.
        travels: Whether others may read the command, in a report or an answer of the service: they shall not learn
            where a checkout lies. The name that it gives instead is right as well, since pip finds it installed.
    """
    options, source = ("", DISTRIBUTION) if travels else _installed_from()
    requirement = f"{source}[{extra}]"
    if sys.platform == "win32":
        return f"pip install {options}{list2cmdline([requirement])}"
    return f"pip install {options}{shlex.quote(requirement)}"


def _installed_from() -> tuple[str, str]:
    """Returns pip's options and what it was given to install surgeon: the name, or the folder of a checkout."""
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415  80 ms that only a hint needs
    from urllib.request import url2pathname  # noqa: PLC0415  as above

    try:
        origin = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        origin = {}
    if "dir_info" in origin:
        folder = Path(url2pathname(urlsplit(origin["url"]).path))
        if (folder / "pyproject.toml").is_file():  # else it was moved or removed since
            return "--editable " if origin["dir_info"].get("editable") else "", str(folder)
    return "", DISTRIBUTION


def reason_of(error: Exception) -> str:
    """Returns what was raised in words; of what is no error of surgeon's own its class as well."""
    return error.message if isinstance(error, SurgeonError) else f"{type(error).__name__}: {error}"


def quote(value: object) -> str:
    """Returns a value as a message shows it: on one line, and short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def did_you_mean(found: object, known: Iterable[str]) -> str | None:
    """Returns ``did you mean 'x'?`` for the known spelling nearest to ``found``, or None if none is near."""
    meant = nearest(found, known)
    return None if meant is None else f"did you mean {meant!r}?"


def nearest(found: object, known: Iterable[str]) -> str | None:
    """Returns the known spelling nearest to ``found``, or None if none is near."""
    by_key = {_spelling_key(name): name for name in known}
    key = _spelling_key(str(found))
    near = difflib.get_close_matches(key, by_key, n=3, cutoff=0.6)
    # Of several, letters that changed places are the likeliest mistake.
    found_key = next((name for name in near if sorted(name) == sorted(key)), near[0] if near else None)
    return None if found_key is None else by_key[found_key]


def _spelling_key(name: str) -> str:
    """Folds case and separators, so that ``EfficientNet-B0`` is near ``efficientnetb0``."""
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")
