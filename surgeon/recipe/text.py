"""YAML text to plain values and where each stands, read strictly.

A text admits less than YAML does: one document a file, no duplicate keys, only strings as keys, no tags
but the plain ones, finite numbers, bounded size and depth, and aliases that do not multiply. Scalars are read
as in YAML 1.2: ``1e-4`` is a number, ``on`` is a string.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from surgeon.errors import Diagnostic, Location, RecipeError, quote

ValuePath = tuple[str | int, ...]  # keys and list indices from the root

MOST_BYTES = 200_000
MOST_PROBLEMS = 100
_MAX_KEY = 200
_MAX_DEPTH = 50
_MAX_VALUES = 20_000
_LARGEST = 2**53  # beyond it floats skip whole numbers


def spell_path(path: ValuePath) -> str:
    """Returns ``phases[1].lr`` for ``("phases", 1, "lr")``; no two paths are spelled alike."""
    parts = (f".{part}" if isinstance(part, str) and re.fullmatch(r"[\w-]+", part) else f"[{part!r}]" for part in path)
    return "".join(parts).removeprefix(".")


def leaves(value: Any, path: ValuePath = ()) -> Iterator[tuple[ValuePath, Any]]:
    """Yields the scalars of a JSON value with their paths."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from leaves(item, (*path, at))
    else:
        yield path, value


def parse_text(content: bytes | str, file: str) -> tuple[Any, dict[ValuePath, Location]]:
    """Parses a text.

    Args:
        content: The text, or its bytes in UTF-8.
        file: What the locations name.

    Returns:
        Mappings, lists and scalars; and where each value stands, by its path: a mapping's entry stands where
        its key does.

    Raises:
        RecipeError: With every problem that keeps the text from being read.
    """
    if len(content) > MOST_BYTES:
        raise RecipeError([too_large(file)])
    reader = _NodeReader(file)
    values = reader.read(content)
    if reader.diagnostics:
        raise RecipeError(first_problems(reader.diagnostics))
    return values, reader.locations


def too_large(file: str) -> Diagnostic:
    """Returns what is wrong with a file of more than ``MOST_BYTES``."""
    return Diagnostic("too-large", f"a recipe may have at most {MOST_BYTES:,} bytes", Location(file))


def first_problems(problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Returns as many problems as a person may want to read at once."""
    first = list(problems[:MOST_PROBLEMS])
    if len(problems) > MOST_PROBLEMS:
        first.append(Diagnostic("more", "more problems are not shown", first[-1].location, hint="fix these first"))
    return first


def dump_text(values: Mapping[str, Any]) -> str:
    """Returns the text that ``parse_text`` reads as ``values``."""
    text = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return str(text)


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


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer, which quotes text that our reader would take for a number."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


_YAML_HINTS = {  # by a part of PyYAML's message
    "found character '\\t'": "indent with spaces, not with tabs",
    "cannot start any token": "put text that begins with this character into quotes",
    "mapping values are not allowed": "put text that holds a colon into quotes, or correct the indentation",
    "expected <block end>": "indent it like the lines that it belongs to",
    "could not find expected ':'": "write a colon and a space after a key",
    "undefined alias": "put text that begins with an asterisk into quotes",
    "scanning an alias": "put text that begins with an asterisk into quotes",
    "escape": "in 'single quotes' a backslash stands for itself",
    "found another document": "remove the line `---` and what follows",
}


class _NodeReader:
    """Turns YAML nodes into values, noting where each stands and every problem on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.locations: dict[ValuePath, Location] = {}
        self.diagnostics: list[Diagnostic] = []

    def read(self, content: bytes | str) -> Any:
        try:
            text = content if isinstance(content, str) else _decode(content)
            too_deep = self._first_too_deep(text)
            if too_deep is not None:
                self._report("too-deep", f"values are nested more than {_MAX_DEPTH} deep", too_deep)
                return None
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            self._report_yaml(error)
            return None
        except yaml.reader.ReaderError as error:
            before, found = text[: error.position], chr(error.character)
            self._report("yaml", f"not YAML: the character {found!r} is not allowed", _end(before), hint="remove it")
            return None
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(error.encoding, "replace")
            found = f"{error.object[error.start]:#x}"
            hint = "save the file in UTF-8"
            self._report("encoding", f"the byte {found} is not {error.encoding.upper()}", _end(before), hint=hint)
            return None
        except (ValueError, OverflowError):  # of chr(), for an escape such as \UFFFFFFFF
            self._report("yaml", "not YAML: an escape sequence is not a character", None, hint=_YAML_HINTS["escape"])
            return None
        self.locations[()] = Location(self.file, 1, 1)
        return None if node is None else self._value(node, ())

    def _report_yaml(self, error: yaml.MarkedYAMLError) -> None:
        problem, context = str(error.problem), str(error.context or "")
        mark, begin = error.problem_mark, error.context_mark
        if context.startswith("while"):
            since = f" that begins in line {begin.line + 1}" if begin and mark and begin.line < mark.line else ""
            problem = f"{problem} {context}{since}"
        elif context:
            problem = f"{context} {problem}".removesuffix("; first occurrence second occurrence")
        hint = next((hint for part, hint in _YAML_HINTS.items() if part in problem), None)
        self._report("yaml", f"not YAML: {problem}", mark or begin, hint=hint)

    def _first_too_deep(self, content: str) -> Any:
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
                message = f"with its aliases, more than {_MAX_VALUES:,} values or nested more than {_MAX_DEPTH} deep"
                self._report("too-many-values", message, node.start_mark, path[:1], "write out what an alias repeats")
            return None
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(node, yaml.MappingNode) and tag == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and tag == "seq":
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and tag in {"str", *_SCALARS}:
            return self._scalar(node, tag, path)
        message = f"unknown tag {quote(node.tag)}"
        self._report("unknown-tag", message, node.start_mark, path, "recipes may contain only plain values")
        return None

    def _mapping(self, node: Any, path: ValuePath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            key = self._key(key_node, path)
            inside = (*path, key or "")
            if key in values:
                hint = f"first given in line {self.locations[inside].line}"
                self._report("duplicate-key", f"key {quote(key)} is given twice", mark, path, hint)
            elif key is not None:
                self.locations[inside] = Location(self.file, mark.line + 1, mark.column + 1)
                values[key] = self._value(value_node, inside)
        return values

    def _key(self, node: Any, path: ValuePath) -> str | None:
        """Returns a key as it is written, so that ``1`` and ``true`` are text; None if it is no text at all."""
        if not isinstance(node, yaml.ScalarNode) or node.tag.rpartition(":")[2] not in {"str", *_SCALARS}:
            self._report("key-not-a-string", "a key has to be plain text", node.start_mark, path)
            return None
        if len(node.value) > _MAX_KEY:
            self._report("key-too-long", f"a key may have at most {_MAX_KEY} characters", node.start_mark, path)
            return None
        text = self._scalar(node, "str", path)
        return None if text is None else str(text)

    def _scalar(self, node: Any, tag: str, path: ValuePath) -> Hashable:
        text = str(node.value)
        problem = _scalar_problem(tag, text)
        if problem:
            message, hint = problem
            self._report("bad-scalar", message, node.start_mark, path, hint)
            return None
        if tag in {"int", "float"}:
            return _number(text)
        return {"str": text, "bool": text.lower() == "true"}.get(tag)


def _scalar_problem(tag: str, text: str) -> tuple[str, str] | None:
    """Returns what is wrong with a scalar and what to do about it, if anything is."""
    if tag == "str":
        # Half of a character, from an escape such as \ud83d; \udc80 to \udcff are bytes of a path that is not UTF-8.
        is_text = not re.search("[\ud800-\udc7f\udd00-\udfff]", text)
        return None if is_text else (f"{quote(text)} contains half of a surrogate pair", "write the character itself")
    if not re.fullmatch(_SCALARS[tag][0], text):
        return f"{quote(text)} is not a valid !!{tag}", "remove the tag"
    if tag in {"int", "float"} and abs(_number(text)) > _LARGEST:
        return f"{quote(text)} is too large", f"numbers go up to {_LARGEST:,}"
    return None


def _number(text: str) -> int | float:
    """Reads a number as YAML 1.2 does; one that Python cannot read is infinite."""
    try:
        if text[:2] in {"0x", "0o"}:
            return int(text, 0)
        return int(text) if text.lstrip("-+").isdigit() else float(text)
    except ValueError:  # an integer of thousands of digits
        return math.inf


def _decode(content: bytes) -> str:
    """Decodes UTF-8, or what a byte order mark announces."""
    is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf_16 else "utf-8-sig")


def _end(text: str) -> yaml.Mark:
    """Returns the place behind ``text``."""
    *lines, last = f"{text}|".splitlines()
    return yaml.Mark("", len(text), len(lines), len(last) - 1, None, 0)
