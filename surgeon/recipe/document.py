"""A recipe as written: its file, the recipes that it extends, and what ``--set`` overrides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgeon.catalogue.kinds import KINDS
from surgeon.errors import Diagnostic, Location, RecipeError, quote
from surgeon.files import FileTooLargeError, read_regular
from surgeon.recipe.schema import recipe_schema
from surgeon.recipe.text import MOST_BYTES, ValuePath, dump_text, leaves, parse_text, spell_path, too_large
from surgeon.share import share_path

# Where a mapping's one key names an alternative: another key there replaces the base's instead of joining it.
_ALTERNATIVES: frozenset[ValuePath] = frozenset({("data", "source"), ("data", "resize"), ("data", "split", "group")})
_MOST_BASES = 20


@dataclass(frozen=True)
class Document:
    """A recipe as written, after ``extends`` and ``--set``.

    Attributes:
        path: The file that was asked for.
        values: Mappings, lists and scalars.
        locations: Where each value stands, by its path; a mapping's entry stands where its key does.
    """

    path: Path
    values: Any
    locations: Mapping[ValuePath, Location]

    def location(self, path: ValuePath) -> Location:
        """Returns where ``path`` stands, or the nearest value around it that the recipe has."""
        while path not in self.locations and path:
            path = path[:-1]
        return self.locations.get(path, Location(str(self.path)))

    def folder(self, path: ValuePath) -> Path:
        """Returns the folder that a relative path written at ``path`` starts from."""
        file = self.location(path).file
        return Path.cwd() if file.startswith("--set ") else Path(file).parent


def read_document(path: Path, overrides: Sequence[str] = ()) -> Document:
    """Reads a recipe, the recipes that it extends, and applies ``--set`` assignments.

    Args:
        path: The recipe's file.
        overrides: Assignments such as ``data.split.seed=1``; the right side is YAML.

    Raises:
        RecipeError: With every problem of the text that keeps it from being read.
    """
    return overridden(_read_with_bases(path, Location(str(path)), ()), overrides)


def overridden(document: Document, overrides: Sequence[str]) -> Document:
    """Returns a document with ``--set`` assignments applied.

    Raises:
        RecipeError: With every assignment that is none.
    """
    problems: list[Diagnostic] = []
    for override in overrides:
        try:
            document = _override(document, override)
        except RecipeError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise RecipeError(problems)
    return document


def _read_with_bases(path: Path, asked_at: Location, readers: tuple[Path, ...]) -> Document:
    """Reads a recipe and those that it extends; ``readers`` are the files that led here, ``asked_at`` the last."""
    document = _read_base(path, asked_at) if readers else parse_document(_read_file(path, asked_at), path)
    real = path.resolve()
    if real in readers:
        chain = " -> ".join(file.name for file in (*readers, real))
        raise RecipeError([Diagnostic("extends-cycle", f"recipes extend each other: {chain}", asked_at, "extends")])
    base = document.values.get("extends") if isinstance(document.values, dict) else None
    if not isinstance(base, str):
        return document
    where = document.location(("extends",))
    if len(readers) == _MOST_BASES:
        message = f"more than {_MOST_BASES} recipes extend one another"
        raise RecipeError([Diagnostic("extends-too-deep", message, where, "extends", "merge some of them")])
    return _merge(_read_with_bases(path.parent / base, where, (*readers, real)), document)


def _read_base(path: Path, asked_at: Location) -> Document:
    """Reads a recipe that another one extends. Of a file that is none, nothing is told: it may hold anything."""
    content = _read_file(path, asked_at)
    keys = recipe_schema()["properties"].keys()
    try:
        document = parse_document(content, path)
        is_recipe = isinstance(document.values, dict) and not keys.isdisjoint(document.values)
    except RecipeError:
        if re.search(rb"^(%s) *:" % "|".join(keys).encode(), content, re.MULTILINE):
            raise
        is_recipe = False
    if not is_recipe:
        message, hint = f"{path} is not a recipe", "name a recipe that this one is to extend"
        raise RecipeError([Diagnostic("no-recipe", message, asked_at, "extends", hint)])
    return document


def _read_file(path: Path, asked_at: Location) -> bytes:
    key = "extends" if asked_at.line else ""
    try:
        return read_regular(path, MOST_BYTES)
    except FileTooLargeError as error:
        raise RecipeError([too_large(str(path))]) from error
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        hint = "its path is relative to this recipe" if key else _package_hint(path)
        if isinstance(error, IsADirectoryError):
            reason = "it is a folder"
            of_run = path / "recipe.yaml"
            drafted = f"`surgeon init {path}` writes a recipe for a folder of images"
            hint = hint or (f"the recipe of this run is {of_run}" if of_run.is_file() else drafted)
        message = reason if asked_at.file == str(path) else f"cannot read {path}: {reason}"
        raise RecipeError([Diagnostic("unreadable", message, asked_at, key, hint)]) from error
    except ValueError as error:  # a NUL in the path
        raise RecipeError([Diagnostic("unreadable", f"{quote(str(path))} is not a path", asked_at, key)]) from error


def _package_hint(path: Path) -> str | None:
    """Returns what to do if ``path`` is called as a recipe that comes with the package."""
    if path.stem in {recipe.stem for recipe in share_path("recipes").glob("*.yaml")}:
        return f"`surgeon recipes copy {path.stem}` writes the recipe of this name that comes with the package"
    return None


def parse_document(content: bytes | str, path: Path) -> Document:
    """Parses a recipe's text; ``path`` is what its locations name.

    Raises:
        RecipeError: With every problem that keeps the text from being read.
    """
    return Document(path, *parse_text(content, str(path)))


def document_of(values: Mapping[str, Any], path: Path) -> Document:
    """Returns values as if they had been read from a file; ``path`` is what their locations name."""
    return parse_document(dump_text(values), path)


def _merge(base: Document, over: Document) -> Document:
    """Lays ``over`` upon ``base``: mappings merge, all else replaces, null removes."""
    locations: dict[ValuePath, Location] = {}

    def take(document: Document, value: Any, path: ValuePath) -> Any:
        locations.update((place, document.locations[place]) for place in _places(value, path))
        return value

    def merge(below: Any, above: Any, path: ValuePath) -> Any:
        both = isinstance(below, dict) and isinstance(above, dict)
        if not both or (path in _ALTERNATIVES and below.keys() != above.keys()):
            return take(over, above, path)
        locations[path] = over.locations[path]  # where a reader can add what is missing
        merged = {}
        for key in {**below, **above}:
            inside = (*path, key)
            if key not in above:
                merged[key] = take(base, below[key], inside)
            elif above[key] is not None:
                merged[key] = merge(below.get(key), above[key], inside)
        return merged

    values = merge(base.values, over.values, ())
    values.pop("extends", None)
    locations.pop(("extends",), None)
    return Document(over.path, values, locations)


def _places(value: Any, path: ValuePath) -> Iterator[ValuePath]:
    """Yields the path of a value and of all values inside."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from _places(item, (*path, key))


def _override(document: Document, override: str) -> Document:
    target, equals, text = override.partition("=")
    location = Location(f"--set {target}")
    if not equals or "" in _split(target):
        message = f"expected KEY=VALUE such as data.split.seed=1, found {quote(override)}"
        raise RecipeError([Diagnostic("set", message, Location("--set"))])
    if _split(target)[0] == "extends":
        message = "--set cannot change 'extends'; write it in the recipe"
        raise RecipeError([Diagnostic("set", message, location, target)])
    try:
        value = parse_document(text, Path(location.file))
    except RecipeError as error:
        problems = [Diagnostic(found.code, found.message, location, target, found.hint) for found in error.diagnostics]
        raise RecipeError(problems) from error
    if value.values is None and text.strip():  # nothing at all is rather a mistake
        return _without(document, target, location)
    return with_value(document, target, value.values, location)


def _without(document: Document, target: str, location: Location) -> Document:
    """Returns a document without the key at a path, if there is one; an item of a list becomes empty."""
    path = _find(document.values, _split(target), location)
    if isinstance(path[-1], int):
        return with_value(document, target, None, location)
    kept = {known: where for known, where in document.locations.items() if known[: len(path)] != path}
    return Document(document.path, _removed(document.values, path), kept)


def with_value(document: Document, target: str, value: Any, location: Location) -> Document:
    """Returns a document with a value at a path such as ``phases[1].lr``; mappings on the way are made where none are.

    Args:
        document: The document.
        target: The path as text.
        value: What is to stand there.
        location: Where it is written.

    Raises:
        RecipeError: If that is no path into the document.
    """
    path = _find(document.values, _split(target), location)
    kept = {known: where for known, where in document.locations.items() if known[: len(path)] != path}
    new = dict.fromkeys(_places(value, path), location)
    return Document(document.path, _assign(document.values, path, value), {**kept, **new})


def value_at(values: Any, target: str) -> Any:
    """Returns the scalar at a path such as ``phases[1].lr``, or None if there is none."""
    by_path = {tuple(map(str, path)): value for path, value in leaves(values)}
    return by_path.get(tuple(_split(target)))


def _split(target: str) -> list[str]:
    return re.split(r"[.\[\]]+", target.strip("]."))


def _find(values: Any, parts: Sequence[str], location: Location) -> ValuePath:
    """Returns ``parts`` as a path into ``values``, with an index where there is a list."""
    path: ValuePath = ()
    for part in parts:
        step: str | int = part
        if isinstance(values, list):
            if part not in map(str, range(len(values))):
                few = {0: "no index, since the list is empty", 1: "the index 0"}
                expected = few.get(len(values), f"an index from 0 to {len(values) - 1}")
                message = f"expected {expected}, found {quote(part)}"
                raise RecipeError([Diagnostic("set", message, location, f"{spell_path(path)}[{part}]")])
            step = int(part)
            values = values[step]
        else:
            values = values.get(part) if isinstance(values, dict) else None
        path = (*path, step)
    return path


def _assign(values: Any, path: ValuePath, value: Any) -> Any:
    """Returns ``values`` with ``value`` at ``path``; mappings on the way are made where there are none."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(values, list):
        return [_assign(item, rest, value) if at == first else item for at, item in enumerate(values)]
    inside = values if isinstance(values, dict) else {}
    if len(inside) == 1 and _are_alternatives(str(first), next(iter(inside))):
        inside = {}
    return {**inside, first: _assign(inside.get(first), rest, value)}


def _removed(values: Any, path: ValuePath) -> Any:
    """Returns ``values`` without the key at ``path``."""
    first, rest = path[0], path[1:]
    if isinstance(values, list):
        return [_removed(item, rest) if at == first else item for at, item in enumerate(values)]
    if not isinstance(values, dict) or first not in values:
        return values
    if rest:
        return {**values, first: _removed(values[first], rest)}
    return {key: value for key, value in values.items() if key != first}


def _are_alternatives(name: str, other: str) -> bool:
    """Tells whether a mapping that names one of two entries of the catalogue cannot name the other too."""
    tables = (entries for kind, entries in KINDS.items() if kind != "augmentation")
    return name != other and any(name in entries and other in entries for entries in tables)
