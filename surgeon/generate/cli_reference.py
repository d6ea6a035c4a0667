"""Writes ``docs/cli.md`` from the commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from surgeon.cli import app

_HEAD = """\
# Command line reference

Generated from the commands by `make generate`.

Exit codes: 0 done, 1 failed, 2 the recipe or the call is wrong, 128 + N stopped by signal N (130 by Ctrl-C).

`SURGEON_MIRROR` names a folder that is searched
before anything is downloaded: `datasets/flowers17/jpg/` and `weights/BACKBONE_notop.weights.h5` (with the top
`weights/BACKBONE.weights.h5`).
"""


def cli_reference() -> str:
    """Returns the reference as Markdown."""
    return "\n".join([_HEAD, *_command(typer.main.get_command(app), "surgeon")]) + "\n"


def _command(command: Any, path: str) -> Iterator[str]:
    subcommands = getattr(command, "commands", {})
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([path, *(argument.metavar or argument.name.upper() for argument in arguments)])
    yield f"## `{usage}`\n\n{command.help}\n"
    if arguments or options:
        yield "| | | default |\n|---|---|---|"
    for argument in arguments:
        name = argument.metavar.replace("|", "\\|")  # which would end the cell
        yield f"| `{name}` | {argument.help} | |"
    for option in options:
        names = ", ".join(f"`{name}`" for name in option.opts)
        default = "" if option.default in (None, False) or callable(option.default) else f"`{_spell(option.default)}`"
        yield f"| {names} | {option.help} | {default} |"
    yield ""
    for name, subcommand in subcommands.items():
        yield from _command(subcommand, f"{path} {name}")


def _spell(default: Any) -> str:
    return str(getattr(default, "value", default))
