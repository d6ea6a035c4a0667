"""YAML text to plain values that know where they stand, read strictly.

A document admits less than YAML does: one document a file, no duplicate keys, only strings as keys, no tags
but the plain ones, finite numbers, bounded size and depth, and aliases that do not multiply. Scalars are read
as in YAML 1.2: ``1e-4`` is a number, ``on`` is a string.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from surgeon.errors import Diagnostic, Location, RecipeError

ValuePath = tuple[str | int, ...]  # keys and list indices from the root

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 50
_MAX_VALUES = 20_000
# Where a mapping's one key names an alternative: another key there replaces the base's instead of joining it.
_ALTERNATIVES: frozenset[ValuePath] = frozenset({("data", "source")})


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


def spell_path(path: ValuePath) -> str:
    """Returns ``phases[1].lr`` for ``("phases", 1, "lr")``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def read_document(path: Path, overrides: Sequence[str] = ()) -> Document:
    """Reads a recipe, the recipes that it extends, and applies ``--set`` assignments.

    Args:
        path: The recipe's file.
        overrides: Assignments such as ``data.split.seed=1``; the right side is YAML.

    Raises:
        RecipeError: With every problem of the text that keeps it from being read.
    """
    document = _read_with_bases(path, Location(str(path)), ())
    for override in overrides:
        document = _override(document, override)
    return document


def _read_with_bases(path: Path, asked_at: Location, readers: tuple[Path, ...]) -> Document:
    real = path.resolve()
    if real in readers:
        chain = " -> ".join(file.name for file in (*readers, real))
        raise RecipeError([Diagnostic("extends-cycle", f"recipes extend each other: {chain}", asked_at, "extends")])
    document = _read_file(path, asked_at)
    base = document.values.get("extends") if isinstance(document.values, dict) else None
    if not isinstance(base, str):
        return document
    where = document.location(("extends",))
    return _merge(_read_with_bases(path.parent / base, where, (*readers, real)), document)


def _read_file(path: Path, asked_at: Location) -> Document:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        raise RecipeError([Diagnostic("unreadable", f"cannot read {path}: {reason}", asked_at)]) from error
    except ValueError as error:  # a NUL in the path
        raise RecipeError([Diagnostic("unreadable", f"no path: {str(path)!r}", asked_at)]) from error
    if len(content) > _MAX_BYTES:
        raise RecipeError([Diagnostic("too-large", f"a recipe has at most {_MAX_BYTES:,} bytes", Location(str(path)))])
    return parse_document(content, path)


def parse_document(content: bytes | str, path: Path) -> Document:
    """Parses a recipe's text; ``path`` is what its locations name.

    Raises:
        RecipeError: With every problem that keeps the text from being read.
    """
    reader = _NodeReader(str(path))
    values = reader.read(content)
    if reader.diagnostics:
        raise RecipeError(reader.diagnostics)
    return Document(path, values, reader.locations)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the name and form that PyYAML asks for


_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
}
for _tag, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


class _NodeReader:
    """Turns YAML nodes into values, noting where each stands and every problem on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.locations: dict[ValuePath, Location] = {}
        self.diagnostics: list[Diagnostic] = []

    def read(self, content: bytes | str) -> Any:
        try:
            too_deep = self._first_too_deep(content)
            if too_deep is not None:
                self._report("too-deep", f"values are nested more than {_MAX_DEPTH} deep", too_deep)
                return None
            node = yaml.compose(content, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            problem = " ".join(str(part) for part in (error.context, error.problem) if part)
            self._report("yaml", f"not YAML: {problem}", error.problem_mark or error.context_mark)
            return None
        except yaml.YAMLError as error:  # bytes or characters that YAML does not admit
            self._report("yaml", f"not YAML: {' '.join(str(error).split())}", None)
            return None
        except (ValueError, OverflowError):  # of chr(), for an escape such as \UFFFFFFFF
            self._report("yaml", "not YAML: an escape sequence is no character", None)
            return None
        self.locations[()] = Location(self.file, 1, 1)
        return None if node is None else self._value(node, ())

    def _first_too_deep(self, content: bytes | str) -> Any:
        """Returns the mark at which nesting passes the bound; the composer would recurse that deep."""
        depth = 0
        for event in yaml.parse(content, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                return event.start_mark
        return None

    def _report(self, code: str, message: str, mark: Any, path: ValuePath = (), hint: str | None = None) -> None:
        location = Location(self.file) if mark is None else Location(self.file, mark.line + 1, mark.column + 1)
        self.diagnostics.append(Diagnostic(code, message, location, spell_path(path), hint))

    def _value(self, node: Any, path: ValuePath) -> Any:
        self.locations.setdefault(path, Location(self.file, node.start_mark.line + 1, node.start_mark.column + 1))
        # Aliases make nodes appear again and again, one inside itself even without end.
        if len(self.locations) > _MAX_VALUES or len(path) > _MAX_DEPTH:
            if not any(diagnostic.code == "too-many-values" for diagnostic in self.diagnostics):
                self._report("too-many-values", "aliases expand to too many values", node.start_mark, path[:3])
            return None
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(node, yaml.MappingNode) and tag == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and tag == "seq":
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and tag in {"str", *_SCALARS}:
            return self._scalar(node, tag, path)
        self._report("unknown-tag", f"unknown tag {node.tag!r}", node.start_mark, path, "recipes hold plain values")
        return None

    def _mapping(self, node: Any, path: ValuePath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            key = self._scalar(key_node, "str", path) if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag.rpartition(":")[2] not in {"str", *_SCALARS}:
                self._report("key-not-a-string", "a key has to be a plain string", mark, path)
            elif key in values:
                first = self.locations[(*path, key)]
                self._report("duplicate-key", f"key {key!r} is given twice", mark, path, f"first in line {first.line}")
            else:
                self.locations[(*path, key)] = Location(self.file, mark.line + 1, mark.column + 1)
                values[key] = self._value(value_node, (*path, key))
        return values

    def _scalar(self, node: Any, tag: str, path: ValuePath) -> Hashable:
        text = node.value
        try:
            if tag == "str":
                text.encode()  # fails for half of a surrogate pair
                return str(text)
            if tag == "null":
                return None
            if tag == "bool":
                return bool(text.lower() == "true")
            number = float(text) if tag == "float" else int(text, 0 if text[:2] in {"0x", "0o"} else 10)
        except ValueError:
            self._report("bad-scalar", f"{text[:40]!r} is no {tag}", node.start_mark, path)
            return None
        if not math.isfinite(number) or abs(number) > 2**53:
            self._report("bad-scalar", f"{text[:40]} is too large", node.start_mark, path)
            return None
        return number


def _merge(base: Document, over: Document) -> Document:
    """Lays ``over`` upon ``base``: mappings merge, all else replaces, null removes."""
    locations = dict(base.locations)

    def merge(below: Any, above: Any, path: ValuePath) -> Any:
        both = isinstance(below, dict) and isinstance(above, dict)
        if not both or (path in _ALTERNATIVES and below.keys() != above.keys()):
            for old in [known for known in locations if known[: len(path)] == path]:
                del locations[old]
            locations.update({new: where for new, where in over.locations.items() if new[: len(path)] == path})
            return above
        merged = dict(below)
        for key, value in above.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = merge(merged.get(key), value, (*path, key))
        return merged

    values = merge(base.values, over.values, ())
    if isinstance(values, dict):
        values.pop("extends", None)
    return Document(over.path, values, locations)


def _override(document: Document, override: str) -> Document:
    target, equals, text = override.partition("=")
    label = f"--set {target}"
    path = tuple(int(part) if part.isdigit() else part for part in re.split(r"[.\[\]]+", target.strip("].")))
    if not equals or "" in path:
        message = f"expected KEY=VALUE such as data.split.seed=1, found {override!r}"
        raise RecipeError([Diagnostic("set", message, Location("--set"))])
    try:
        value = parse_document(text, Path(label))
    except RecipeError as error:
        problems = [Diagnostic(found.code, found.message, Location(label), target) for found in error.diagnostics]
        raise RecipeError(problems) from error
    values = _assign(document.values, path, value.values, Diagnostic("set", "", Location(label), target))
    kept = {known: where for known, where in document.locations.items() if known[: len(path)] != path}
    new = {(*path, *below): Location(label) for below in value.locations}
    return Document(document.path, values, {**kept, **new})


def _assign(values: Any, path: ValuePath, value: Any, problem: Diagnostic) -> Any:
    """Returns ``values`` with ``value`` at ``path``; mappings on the way are made where there are none."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(values, list):
        if not isinstance(first, int) or first >= len(values):
            message = f"expected an index from 0 to {len(values) - 1}, found {first!r}"
            raise RecipeError([Diagnostic(problem.code, message, problem.location, problem.path)])
        return [_assign(item, rest, value, problem) if at == first else item for at, item in enumerate(values)]
    inside = values if isinstance(values, dict) else {}
    return {**inside, str(first): _assign(inside.get(str(first)), rest, value, problem)}
