"""What every entry of the catalogue has in common: a name, a summary, and parameters with their schema."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from surgeon.errors import SurgeonError, UsageError, did_you_mean, quote, reason_of
from surgeon.patterns import LONGEST
from surgeon.text import printable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Schema = Mapping[str, Any]  # a JSON Schema fragment
Parameters = Mapping[str, Any]  # checked and completed values, by parameter name

# Beside the schema of a part: what somebody may write it in instead.
DEGREES: Schema = {"x-unit": "degrees"}
PERCENT: Schema = {"x-unit": "percent"}

_FEW = 6  # entries of a kind, that an error lists


@dataclass(frozen=True)
class Entry:
    """Something that a recipe may name.

    Attributes:
        name: How recipes spell it.
        summary: One line for listings and the reference.
        parameters: The JSON Schema of each parameter; ``default`` in it is what the compiler fills in.
        required: The parameters that a recipe has to give.
        shorthand: The parameter that a bare value sets: ``dropout: 0.5`` is ``dropout: {rate: 0.5}``.
        package: The package that adds it, noted when it is loaded; None for surgeon's own.

    Raises:
        ValueError: If a parameter is not described, or ``required`` or ``shorthand`` name one that is not there.
    """

    name: str
    summary: str
    parameters: Mapping[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    shorthand: str | None = None
    package: str | None = None

    def __post_init__(self) -> None:
        for name in (*self.required, *([] if self.shorthand is None else [self.shorthand])):
            if name not in self.parameters:
                raise ValueError(f"{self.name!r} has no parameter {name!r}")
        for name, schema in self.parameters.items():
            if not {"type", "description"} <= schema.keys():
                raise ValueError(f"the parameter {name!r} of {self.name!r} needs a type and a description")


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


class Table(Mapping[str, EntryT], Generic[EntryT]):
    """The entries of a kind by name: surgeon's own in the order given, then those of other packages.

    The packages are asked when the table is first read, and not when it is made: their modules import what is beside
    it, and may read it themselves.

    Attributes:
        own: Surgeon's own entries, which are what generated files show.
        group: The entry points by which other packages add to them, or None if they cannot.
    """

    def __init__(self, own: Iterable[EntryT], group: str | None = None) -> None:
        self.own: Mapping[str, EntryT] = {entry.name: entry for entry in own}
        self.group = group
        self._entries: dict[str, EntryT] | None = None

    @property
    def entries(self) -> dict[str, EntryT]:
        """All of them."""
        if self._entries is None:
            self._entries = dict(self.own)
            if self.group is not None:
                _add(self._entries, self.group, type(next(iter(self.own.values()))))
        return self._entries

    def __getitem__(self, name: str) -> EntryT:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def table(*own: EntryT, group: str | None = None) -> Table[EntryT]:
    """Returns a table of entries.

    Args:
        own: Surgeon's own, at least one, in their order.
        group: The entry points by which other packages may add to them, such as ``surgeon.backbones``.
    """
    return Table(own, group)


def _add(entries: dict[str, EntryT], group: str, kind: type[EntryT]) -> None:
    """Adds the entries of other packages, but for those that cannot be had; a warning says which and why."""
    from importlib.metadata import entry_points

    what = group.rpartition(".")[2]
    points = [(_package_of(point), point) for point in entry_points(group=group)]
    for package, point in sorted(points, key=lambda pair: (pair[0], pair[1].name)):
        try:
            added = _load(point, kind)
        except Exception as error:  # a package raises whatever it pleases
            _warn(f"the {what} of the package {package} ({point.value}) are left out: {reason_of(error)}")
            continue
        for entry in added:
            if entry.name in entries:
                has_it = f"{entries[entry.name].package or 'surgeon'} has one of that name"
                _warn(f"{entry.name!r} of the {what} of the package {package} is left out: {has_it}")
            else:
                entries[entry.name] = replace(entry, package=package)


def _package_of(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None and point.dist.name else point.module


def _load(point: EntryPoint, kind: type[EntryT]) -> list[EntryT]:
    """Returns the entries that an entry point names."""
    loaded = point.load()
    entries = list(loaded) if isinstance(loaded, Iterable) else [loaded]
    if not all(isinstance(entry, kind) for entry in entries):
        raise SurgeonError(f"expected {kind.__name__} or an iterable of them, found {quote(loaded)}")
    return entries


def _warn(text: str) -> None:
    with suppress(RuntimeWarning):  # where warnings are errors, the others are added all the same
        warnings.warn(printable(text), RuntimeWarning, stacklevel=2)


def find(kind: str, entries: Table[EntryT], name: str) -> EntryT:
    """Returns the entry called ``name``.

    Raises:
        UsageError: If there is none; the nearest name is suggested.
    """
    if name not in entries:
        parts = [f"there are {', '.join(entries)}"] if len(entries) <= _FEW else []
        parts += ["if it belongs to another package, install that package"] if entries.group else []
        raise UsageError(f"no {kind} is called {name!r}", did_you_mean(name, entries) or "; ".join(parts) or None)
    return entries[name]


def number(description: str, default: float | None = None, **bounds: float) -> Schema:
    """Returns the schema of a real number; ``bounds`` are JSON Schema's, such as ``exclusiveMinimum``."""
    return _schema("number", description, default, **bounds)


def fraction(description: str, default: float | None = None, **bounds: float) -> Schema:
    """Returns the schema of a part of a whole, which somebody may write in percent."""
    return {**number(description, default, **bounds), **PERCENT}


def column(description: str, **default: str) -> Schema:
    """Returns the schema of the name of a table's column."""
    return {"description": description, "type": "string", "minLength": 1, **default}


def regex(description: str) -> Schema:
    """Returns the schema of a regular expression, as Python's ``re`` has it."""
    return {
        "description": description,
        "type": "string",
        "format": "python-regex",
        "minLength": 1,
        "maxLength": LONGEST,
    }


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
