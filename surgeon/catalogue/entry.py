"""What every entry of the catalogue has in common: a name, a summary, and parameters with their schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from surgeon.errors import UsageError, did_you_mean

Schema = Mapping[str, Any]  # a JSON Schema fragment
Parameters = Mapping[str, Any]  # checked and completed values, by parameter name


@dataclass(frozen=True)
class Entry:
    """Something that a recipe may name.

    Attributes:
        name: How recipes spell it.
        summary: One line for listings and the reference.
        parameters: The JSON Schema of each parameter; ``default`` in it is what the compiler fills in.
        required: The parameters that a recipe has to give.
        shorthand: The parameter that a bare value sets: ``dropout: 0.5`` is ``dropout: {rate: 0.5}``.
    """

    name: str
    summary: str
    parameters: Mapping[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    shorthand: str | None = None


@dataclass(frozen=True)
class Misfit:
    """A parameter that, in its phase, cannot do what it says.

    Attributes:
        parameter: Its name.
        message: Why not.
        hint: What to do about it.
    """

    parameter: str
    message: str
    hint: str


@dataclass(frozen=True)
class PhaseLength:
    """How long a phase is.

    Attributes:
        epochs: At the most.
        steps_per_epoch: None as long as nobody has counted the images.
    """

    epochs: int
    steps_per_epoch: int | None = None

    @property
    def steps(self) -> int | None:
        """Of all epochs."""
        return None if self.steps_per_epoch is None else self.steps_per_epoch * self.epochs

    def __str__(self) -> str:
        epochs = f"{self.epochs:,} epoch{'s' if self.epochs > 1 else ''}"
        steps = "" if self.steps is None else f" ({self.steps:,} step{'s' if self.steps > 1 else ''})"
        return epochs + steps


EntryT = TypeVar("EntryT", bound=Entry)


def table(*entries: EntryT) -> Mapping[str, EntryT]:
    """Returns the entries by name, in the order given."""
    return {entry.name: entry for entry in entries}


def find(kind: str, entries: Mapping[str, EntryT], name: str) -> EntryT:
    """Returns the entry called ``name``.

    Raises:
        UsageError: If there is none; the nearest name is suggested.
    """
    if name not in entries:
        raise UsageError(f"no {kind} is called {name!r}", did_you_mean(name, entries))
    return entries[name]


def number(description: str, default: float | None = None, **bounds: float) -> Schema:
    """Returns the schema of a real number; ``bounds`` are JSON Schema's, such as ``exclusiveMinimum``."""
    return _schema("number", description, default, **bounds)


def integer(description: str, default: int | None = None, **bounds: int) -> Schema:
    """Returns the schema of a whole number."""
    return _schema("integer", description, default, **bounds)


def boolean(description: str, default: bool) -> Schema:
    """Returns the schema of ``true`` or ``false``."""
    return _schema("boolean", description, default)


def choice(description: str, options: tuple[str, ...], default: str | None = None) -> Schema:
    """Returns the schema of one name out of ``options``."""
    return _schema("string", description, default, enum=list(options))


def path(description: str) -> Schema:
    """Returns the schema of a path, which is relative to the file that it is written in."""
    return _schema("string", description, None, format="path", minLength=1)


def _schema(type_: str, description: str, default: object, **rest: object) -> Schema:
    return {
        "description": description,
        "type": type_,
        **({} if default is None else {"default": default}),
        **rest,
    }
