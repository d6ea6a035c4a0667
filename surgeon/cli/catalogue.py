"""``surgeon backbones``, ``surgeon optimizers`` and so on: what may stand in a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from surgeon.catalogue.entry import Entry, find
from surgeon.catalogue.kinds import KINDS, LISTED, listing_command
from surgeon.cli.output import Format, FormatOption, print_json, print_text
from surgeon.report.recipe import entries_table, entry_table


def register(app: typer.Typer) -> None:
    """Adds a command for each kind of the catalogue."""
    for kind in LISTED:
        what = f"every {kind} that a recipe may name" if kind in KINDS else f"every {kind}, for `surgeon export --to`"
        app.command(listing_command(kind), help=f"List {what}.")(_command(kind))


def _command(kind: str) -> Callable[..., None]:
    def command(
        name: Annotated[
            str | None,
            typer.Argument(
                metavar="[NAME]",
                help="Show one entry and its parameters.",
                autocompletion=_complete_entry,
                show_default=False,
            ),
        ] = None,
        output_format: FormatOption = Format.text,
    ) -> None:
        entries = LISTED[kind]
        chosen = None if name is None else find(kind, entries, name)
        if output_format is Format.json:
            print_json(_record(chosen) if chosen else [_record(entry) for entry in entries.values()])
        else:
            print_text(entry_table(chosen) if chosen else entries_table(entries))

    return command


def _complete_entry(context: typer.Context, incomplete: str) -> list[str]:
    (kind,) = (kind for kind in LISTED if listing_command(kind) == context.info_name)
    return [name for name in LISTED[kind] if name.startswith(incomplete)]


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "package": entry.package,
        "parameters": dict(entry.parameters),
        "required": list(entry.required),
        "shorthand": entry.shorthand,
    }
