"""A document against the schema: every mismatch as a diagnostic that a person can act on."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from jsonschema import Draft202012Validator

from surgeon.catalogue.kinds import KINDS, listing_command
from surgeon.errors import Diagnostic, did_you_mean
from surgeon.recipe.document import Document, ValuePath, spell_path
from surgeon.recipe.schema import recipe_schema

_EXPECTED = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minLength": "at least {} character",
    "const": "{}",
}
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


@functools.cache
def _validator() -> Any:
    return Draft202012Validator(recipe_schema())


def check_schema(document: Document) -> list[Diagnostic]:
    """Returns every mismatch between a document and the recipes' schema."""
    errors = list(_validator().iter_errors(document.values))
    # A value of the wrong type fails each further check on it too; the type says it all.
    mistyped = {tuple(error.absolute_path) for error in errors if error.validator == "type"}
    found = [
        diagnostic
        for error in errors
        if error.validator == "type" or tuple(error.absolute_path) not in mistyped
        for diagnostic in _diagnose(error, document, tuple(error.absolute_path))
    ]
    return list(dict.fromkeys(found))


def describe(value: object) -> str:
    """Returns how a message shows a value of a recipe."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."


def _diagnose(error: Any, document: Document, path: ValuePath) -> Iterator[Diagnostic]:
    def problem(code: str, message: str, hint: str | None = None, at: ValuePath = path) -> Diagnostic:
        return Diagnostic(code, message, document.location(at), spell_path(at), hint)

    kind, wanted, found = error.schema.get("title", ""), error.validator_value, error.instance
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for key in (key for key in found if key not in known):
            if kind in KINDS:
                yield problem("unknown-name", f"no {kind} is called {key!r}", _suggest(kind, key), (*path, key))
            else:
                hint = did_you_mean(key, known) or f"expected {_one_of(known)}"
                yield problem("unknown-key", f"unknown key {key!r}", hint, (*path, key))
    elif error.validator == "required":
        for key in wanted:  # jsonschema reports each missing key apart, and does not name it as data
            if error.message.startswith(repr(key)):
                yield problem("missing-key", f"{key!r} is missing", at=(*path, key))
    elif error.validator == "enum":
        yield problem(*_not_in(kind, wanted, found))
    elif error.validator == "type":
        types = [_TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted)]
        yield problem("wrong-type", f"expected {' or '.join(types)}, found {describe(found)}")
    elif error.validator in {"minProperties", "maxProperties"}:
        keys = f" ({', '.join(found)})" if found else ""
        yield problem("one-key", f"expected one key, the {kind}'s name, found {len(found)}{keys}")
    elif error.validator == "pattern":
        yield problem("out-of-range", f"a name may not contain slashes or control characters, found {describe(found)}")
    else:
        expected = _EXPECTED[error.validator].format(wanted)
        yield problem("out-of-range", f"expected {expected}, found {describe(found)}")


def _not_in(kind: str, options: list[str], found: object) -> tuple[str, str, str | None]:
    """Returns code, message and hint for a value that is none of ``options``."""
    entry = KINDS.get(kind, {}).get(str(found))
    if entry is not None:
        parameters = ", ".join(f"{name}: ..." for name in entry.required)
        return "missing-key", f"{found} needs parameters", f"write {{{found}: {{{parameters}}}}}"
    if kind in KINDS:
        return "unknown-name", f"no {kind} is called {describe(found)}", _suggest(kind, found)
    return (
        "not-an-option",
        f"expected {_one_of(options)}, found {describe(found)}",
        did_you_mean(found, options),
    )


def _suggest(kind: str, found: object) -> str:
    return did_you_mean(found, KINDS[kind]) or f"`surgeon {listing_command(kind)}` lists them"


def _one_of(options: Iterable[str]) -> str:
    names = [repr(option) for option in options]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
