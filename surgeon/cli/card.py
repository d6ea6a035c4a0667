"""``surgeon card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.output import RunArgument, print_text
from surgeon.errors import UsageError
from surgeon.report.terminal import styled


def command(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="The card; by default RUN/README.md.", show_default=False)] = None,
) -> None:
    """Write a model card in Markdown, in the form that model hubs read."""
    from surgeon.publishing.page import write_card
    from surgeon.runs.folder import read_run

    plan, result = read_run(run)
    path = out or run / "README.md"
    if path.exists():
        raise UsageError(f"{path} exists", "give another --out")
    write_card(plan, run, result, path)
    print_text(styled("the card is ", (str(path), "bold")))
