"""Files that surgeon has written and reads again: of the form that is declared, or said to be damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from surgeon.errors import SurgeonError
from surgeon.files import read_regular
from surgeon.text import printable

Form = TypeVar("Form")


@contextmanager
def damage_told(path: Path, remedy: str, kind: type[SurgeonError] = SurgeonError) -> Iterator[None]:
    """Turns whatever the reading of a damaged file raises into an error that names the file and the remedy.

    Args:
        path: The file.
        remedy: What to do if it is damaged.
        kind: What the error is.
    """
    try:
        yield
    except SurgeonError:
        raise
    except FileNotFoundError as error:
        raise kind(f"{path} is missing", remedy) from error
    except OSError as error:
        raise kind(f"cannot read {path}: {error.strerror or error}", remedy) from error
    except Exception as error:  # parsers raise whatever the damage happens to hit
        reason = printable(str(error) or type(error).__name__)[:300]
        raise kind(f"{path} is damaged: {reason}", remedy) from error


def read_record(path: Path, form: type[Form], most: int, remedy: str, newest: int) -> Form:
    """Returns the content of a JSON file as a value of a type; see ``record_of``.

    Args:
        path: The file.
        form: The type.
        most: How many bytes are read.
        remedy: What to do if the file is damaged.
        newest: The latest version of the file's format that is known.

    Raises:
        SurgeonError: If the file cannot be read, is damaged, or was written by a newer surgeon.
    """
    with damage_told(path, remedy):
        value = json.loads(read_regular(path, most))
        check_version(path, value, newest)
        return record_of(value, form)


def check_version(path: Path, value: object, newest: int) -> None:
    """Makes sure that a file is of a version that is known; what carries none was written before files had one.

    Raises:
        SurgeonError: If a newer surgeon wrote it.
        ValueError: If its version is no number.
    """
    version = record_of(value, _Versioned).version
    if version > newest:
        raise SurgeonError(
            f"{path} has format version {version}, but this release of surgeon reads versions up to {newest}",
            "update surgeon",
        )


@dataclass(frozen=True)
class _Versioned:
    """A file of any version."""

    version: int = 0


def record_of(value: object, form: type[Form]) -> Form:
    """Returns a JSON value as a value of a type, such as a dataclass; fields that this one lacks are ignored.

    Raises:
        ValueError: If the value is not of that form; it says where.
    """
    return msgspec.convert(value, form, dec_hook=_decoded)


def _decoded(form: type, value: Any) -> Any:
    if form is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"expected a {form.__name__}")
