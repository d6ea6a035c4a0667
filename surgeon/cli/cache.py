"""``surgeon cache``: what frozen layers computed and is kept for the next runs."""

from __future__ import annotations

from datetime import datetime

import typer

from surgeon.cli.output import Format, FormatOption, print_json, print_text
from surgeon.report.tables import table

app = typer.Typer(help="What frozen layers computed and is kept for the next runs.", no_args_is_help=True)


@app.command("list")
def list_shelves(output_format: FormatOption = Format.text) -> None:
    """List what is kept, the least recently used first."""
    from surgeon.store import cache

    shelves = cache.list_shelves(cache.cache_root())
    if output_format is Format.json:
        print_json(
            [{"folder": str(shelf.folder), "size": shelf.size, "used": shelf.used, **shelf.about} for shelf in shelves]
        )
        return
    columns = ("network", "layers", "image size", "MB", "last used")
    rendered = table(None, *columns, numbers=("MB",))
    for shelf in shelves:
        layers, size = shelf.about["layers"], shelf.about["image_size"]
        rendered.add_row(
            str(shelf.about["network"]),
            ", ".join(map(str, layers if isinstance(layers, list) else ())),
            " x ".join(map(str, size if isinstance(size, list) else ())),
            f"{shelf.size / 1e6:,.1f}",
            f"{datetime.fromtimestamp(shelf.used):%Y-%m-%d %H:%M}",
        )
    print_text(rendered, f"{sum(shelf.size for shelf in shelves) / 1e6:,.1f} MB in {cache.cache_root()}")


@app.command()
def size() -> None:
    """Print how many bytes are kept."""
    from surgeon.store import cache

    print_text(str(sum(shelf.size for shelf in cache.list_shelves(cache.cache_root()))))


@app.command()
def clear() -> None:
    """Remove all that no run uses at this moment."""
    from surgeon.store import cache

    shelves = cache.list_shelves(cache.cache_root())
    freed = [cache.remove_shelf(shelf) for shelf in shelves]
    print_text(f"{sum(freed) / 1e6:,.1f} MB removed, {freed.count(0)} in use")
