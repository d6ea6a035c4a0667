"""``surgeon cache``: what frozen layers computed and is kept for the next runs."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from surgeon.cli.output import Format, FormatOption, print_json, print_text
from surgeon.errors import SurgeonError
from surgeon.report.terminal import table

if TYPE_CHECKING:
    from surgeon.store.cache import ShelfSummary

app = typer.Typer(help="Cached outputs of frozen layers, kept for later runs.", no_args_is_help=True)

_SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}


def _age(text: str) -> float:
    """Returns the seconds of an age such as ``30d``."""
    found = re.fullmatch(r"(\d{1,6})([hdw])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not an age; expected a number of hours, days or weeks: 12h, 30d, 8w")
    return int(found[1]) * _SECONDS[found[2]]


@app.command("list")
def list_shelves(output_format: FormatOption = Format.text) -> None:
    """List the entries of the cache, least recently used first."""
    from surgeon.store import cache

    shelves = cache.list_shelves(cache.cache_root())
    if output_format is Format.json:
        print_json(
            [{**shelf.about, "folder": str(shelf.folder), "size": shelf.size, "used": shelf.used} for shelf in shelves]
        )
        return
    rendered = table(None, "network", "layers", "image size", "size", "last used", "by recipe", numbers=("size",))
    for shelf in shelves:
        layers, size = (shelf.about.get(fact) for fact in ("layers", "image_size"))
        rendered.add_row(
            _network(shelf),
            ", ".join(map(str, layers)) if isinstance(layers, list) else "",
            " x ".join(map(str, size)) if isinstance(size, list) else "",
            decimal(shelf.size),
            f"{datetime.fromtimestamp(shelf.used):%Y-%m-%d %H:%M}",
            str(shelf.about.get("recipe", "")),
        )
    print_text(rendered, f"{decimal(sum(shelf.size for shelf in shelves))} in {cache.cache_root()}")


def _network(shelf: ShelfSummary) -> str:
    """Returns what a shelf is called; one that says nothing of itself is damaged or another version's."""
    return str(shelf.about.get("network", "unknown"))


@app.command()
def size(output_format: FormatOption = Format.text) -> None:
    """Print the size of the cache."""
    from surgeon.store import cache

    total = sum(shelf.size for shelf in cache.list_shelves(cache.cache_root()))
    if output_format is Format.json:
        print_json({"bytes": total})
    else:
        print_text(decimal(total))


@app.command()
def clear(
    older_than: Annotated[
        float | None,
        typer.Option(
            parser=_age,
            metavar="AGE",
            help="Remove only entries that no run has used for this long, such as `12h`, `30d` or `8w`.",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Remove only entries of this network.", show_default=False),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Remove only entries that this recipe was the last to use.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Remove the entries that no run is using."""
    from surgeon.store import cache

    shelves = [
        shelf
        for shelf in cache.list_shelves(cache.cache_root())
        if (network is None or _network(shelf) == network)
        and (recipe is None or shelf.about.get("recipe") == recipe)
        and (older_than is None or shelf.used < time.time() - older_than)
    ]
    freed, in_use, failed = 0, 0, []
    for shelf in shelves:
        try:
            removed = cache.remove_shelf(shelf)
        except SurgeonError as error:
            failed.append(error.message)
            continue
        freed += shelf.size if removed else 0
        in_use += not removed
    print_text(f"{decimal(freed)} removed; {in_use} in use and kept")
    if failed:
        raise SurgeonError("\n".join(failed), "check the permissions of these folders, or remove them by hand")
