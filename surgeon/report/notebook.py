"""A run in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surgeon.report.markup import embed, render
from surgeon.results.run import headline_figures

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.results.run import RunResult

_PICTURES = {"loss and accuracy per epoch": "curves.png", "confusion matrix": "confusion.png"}


def notebook_html(folder: Path, result: RunResult | None) -> str:
    """Returns figures, curves and confusion matrix of a run as HTML that needs nothing else.

    Args:
        folder: The run's.
        result: What it came to; None if it is not finished.
    """
    if result is None:
        return render("notebook.html.j2", title=f"{folder}: a run that is not finished", figures=(), pictures=())
    return render(
        "notebook.html.j2",
        title=f"{result.name}, {result.seconds:.0f} s, in {folder}",
        figures=[(name, f"{value:.4f}") for name, value in headline_figures(result).items()],
        pictures=[
            (alt, embed("png", (folder / name).read_bytes()))
            for alt, name in _PICTURES.items()
            if (folder / name).is_file()
        ],
    )
