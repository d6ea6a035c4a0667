"""What the commands share: consoles, formats, options, errors."""

from __future__ import annotations

import enum
import io
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from surgeon.cells import write_rows
from surgeon.cli.completion import complete_recipe, complete_run
from surgeon.errors import RecipeError, SurgeonError
from surgeon.report.terminal import Terminal, styled
from surgeon.results.subscribers import drive
from surgeon.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from surgeon.results.events import Event

Result = TypeVar("Result")


class Format(enum.StrEnum):
    """How a command prints."""

    text = "text"
    json = "json"


RecipeArgument = Annotated[
    Path,
    typer.Argument(metavar="RECIPE", help="A recipe's file.", autocompletion=complete_recipe, show_default=False),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value, such as `data.split.seed=1`; null removes a key. Repeatable.",
        show_default=False,
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Output format: for people or for programs.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print neither progress nor details of a run.")]
TrustOption = Annotated[
    bool,
    typer.Option("--trust", help="Open an exported network even if it may do more than compute: only if you trust it."),
]


def _said_if_unfinished(folder: Path) -> Path:
    """Warns of a run that is not finished, whose network is that of the last phase that is."""
    from surgeon.runs.folder import holds_run, is_finished

    if holds_run(folder) and not is_finished(folder):
        warning = f"the run is not finished: its network is that of its last finished phase; surgeon resume {folder}"
        Terminal(stderr=True).show(styled(("warning: ", "bold yellow"), warning))
    return folder


def _folder(metavar: str, help_text: str, callback: Callable[[Path], Path] | None = None) -> Any:
    return typer.Argument(
        metavar=metavar, help=help_text, autocompletion=complete_run, callback=callback, show_default=False
    )


RunArgument = Annotated[Path, _folder("RUN", "The folder of a run.")]
NetworkOfRunArgument = Annotated[Path, _folder("RUN", "The folder of a run.", _said_if_unfinished)]
BundleArgument = Annotated[Path, _folder("RUN|BUNDLE", "The folder of a run or of an export.", _said_if_unfinished)]


def show_progress(work: Generator[Event, None, Result], console: Terminal) -> Result:
    """Does a piece of long work to its end, showing its events; returns its result."""
    from surgeon.report.progress import ProgressDisplay

    with ProgressDisplay(console) as display:
        return drive(work, display.show)


def file_name(text: str) -> str:
    """Returns a text, such as the name of a class in a stranger's bundle, as the name of a file and no way out."""
    name = re.sub(r"[/\\\x00]", "_", text)
    return name if name.strip(".") else f"_{name}"


def unused(path: Path, numbers: dict[Path, int]) -> Path:
    """Returns a path or, where there is something already, the same with a number.

    Args:
        path: The path.
        numbers: Of former calls, so that each name is tried once; it is updated.
    """
    number = numbers.get(path, 1)
    found = path if number == 1 else _numbered(path, number)
    while os.path.lexists(found):
        number += 1
        found = _numbered(path, number)
    numbers[path] = number
    return found


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def open_streams() -> None:
    """Lets every name through: what an output's encoding lacks becomes an escape, and names are read as bytes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        encoding = None if os.name == "nt" else sys.getfilesystemencoding()
        sys.stdin.reconfigure(encoding=encoding, errors="surrogateescape", newline="\n")


def print_text(*shown: RenderableType) -> None:
    """Prints for people."""
    Terminal().show(*shown)


def print_file(text: str) -> None:
    """Prints a file of the package as it is."""
    typer.echo(text, nl=False)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Prints for programs, in ASCII: no output lacks it, it steers no terminal, and every reader has the true text."""
    typer.echo(json.dumps(value, indent=indent))


def print_rows(rows: Iterable[Sequence[str]]) -> None:
    """Prints CSV, for programs and on terminals; what steers those is an escape."""
    write_rows(sys.stdout, ([printable(cell) for cell in row] for row in rows))


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Shows a warning as one line on standard error, without the place in the code that gave it."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        Terminal(stderr=True).show(styled(("warning: ", "bold"), str(message)))

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def print_error(error: SurgeonError) -> None:
    """Prints an error to standard error: a recipe's diagnostics, one per line, others with what to do next."""
    terminal = Terminal(stderr=True)
    if isinstance(error, RecipeError):
        count = len(error.diagnostics)
        terminal.show(
            *map(str, error.diagnostics), styled((f"{count} problem{'s' if count > 1 else ''} found", "bold red"))
        )
        return
    first, *others = error.message.split("\n")
    terminal.show(styled(("error: ", "bold red"), first), *others)
    if error.hint:
        terminal.show(styled(("hint: ", "bold"), error.hint))
