"""``surgeon card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.output import RunArgument, print_text
from surgeon.report.terminal import styled


def command(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="The card; by default RUN/README.md.", show_default=False)] = None,
) -> None:
    """Write a model card in Markdown, in the format that model hubs read."""
    from surgeon.run import open_run

    print_text(styled("model card written to ", (str(open_run(run).card(out)), "bold")))
