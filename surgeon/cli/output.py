"""What the commands share: consoles, formats, options, errors."""

from __future__ import annotations

import enum
import json
import os
import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from surgeon.errors import RecipeError, SurgeonError

if TYPE_CHECKING:
    from surgeon.results.events import Event

Result = TypeVar("Result")


class Format(str, enum.Enum):
    """How a command prints."""

    text = "text"
    json = "json"


RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe's file.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value, such as `data.split.seed=1`. Repeatable.",
        show_default=False,
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="For people or for programs.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no table.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)]


def open_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Returns a console; where there is no terminal, it is as wide as tables and epochs need it to be."""
    console = Console(stderr=stderr, quiet=quiet, highlight=False)
    if not console.is_terminal:
        console.width = 160
    return console


def show_progress(
    work: Generator[Event, None, Result], console: Console, recorders: Sequence[Callable[[Event], None]] = ()
) -> Result:
    """Does a piece of long work to its end, showing its events and handing them to recorders; returns its result."""
    from surgeon.report.progress import ProgressDisplay

    with ProgressDisplay(console) as display:
        while True:
            try:
                event = next(work)
            except StopIteration as finished:
                return finished.value  # type: ignore[no-any-return]
            display.show(event)
            for record in recorders:
                record(event)


def file_name(text: str) -> str:
    """Returns a text, such as the name of a class in a stranger's bundle, as the name of a file and no way out."""
    name = re.sub(r"[/\\\x00]", "_", text)
    return name if name.strip(".") else f"_{name}"


def unused(path: Path) -> Path:
    """Returns a path or, where there is something already, the same with a number."""
    found, number = path, 1
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def print_text(*renderables: RenderableType) -> None:
    """Prints for people."""
    console = open_console()
    for renderable in renderables:
        console.print(renderable)


def print_json(value: Any) -> None:
    """Prints for programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_error(error: SurgeonError) -> None:
    """Prints an error to standard error: a recipe's diagnostics a line each, others with what to do next."""
    console = Console(stderr=True, soft_wrap=True)
    if isinstance(error, RecipeError):
        for diagnostic in error.diagnostics:
            console.print(Text(str(diagnostic)))
        count = len(error.diagnostics)
        console.print(Text(f"{count} problem{'s' if count > 1 else ''} found", style="bold red"))
        return
    console.print(Text.assemble(("error: ", "bold red"), error.message))
    if error.hint:
        console.print(Text.assemble(("hint: ", "bold"), error.hint))
