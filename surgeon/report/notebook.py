"""A run in a notebook."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

from surgeon.results.run import headline_figures
from surgeon.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.results.run import RunResult

_PICTURES = {"curves.png": "loss and accuracy per epoch", "confusion.png": "confusion matrix"}


def notebook_html(folder: Path, result: RunResult) -> str:
    """Returns figures, curves and confusion matrix of a finished run as HTML that needs nothing else."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(printable(name))}</th><td>{value:.4f}</td></tr>"
        for name, value in headline_figures(result).items()
    )
    pictures = "".join(_picture(folder / name, alt) for name, alt in _PICTURES.items())
    title = escape(printable(f"{result.name}, {result.seconds:.0f} s, in {folder}"))
    return f"<div><b>{title}</b><table>{rows}</table>{pictures}</div>"


def _picture(path: Path, alt: str) -> str:
    if not path.is_file():
        return ""
    content = base64.b64encode(path.read_bytes()).decode()
    return f"<img alt='{alt}' style='max-width:100%' src='data:image/png;base64,{content}'>"
