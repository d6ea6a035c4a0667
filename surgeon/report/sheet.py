"""Findings about images as a sheet that shows the images themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from surgeon.report.figures import plain_style
from surgeon.report.markup import THUMBNAIL, embed_picture, render
from surgeon.results.findings import Finding
from surgeon.text import printable

_SHOWN = 100  # findings on a sheet
_PICTURES = 8  # images of a finding
_CAPTION = 26  # letters under one that a picture has room for
_COLOURS = {"error": "#c0392b", "warning": "#b7791f", "info": "#5f6b7a"}

Picture = Callable[[str], Image.Image | None]


@dataclass(frozen=True, eq=False)
class Row:
    """A finding on a sheet, with its first images; an image is None where there is nothing to see."""

    finding: Finding
    pictures: tuple[tuple[str, Image.Image | None], ...]

    @property
    def left_out(self) -> int:
        """How many more images it has."""
        return len(self.finding.files) - len(self.pictures)


def draw_sheet(findings: Sequence[Finding], picture: Picture, name: str, path: Path) -> None:
    """Draws findings with their images into a file that ends in ``.png`` or ``.html``, and needs no other.

    Args:
        findings: The worst first; a hundred of them are drawn.
        picture: Returns an image by its name, or None if it cannot be read.
        name: Of what was checked.
        path: The file.
    """
    left_out = f", the first {_SHOWN} of them here" if len(findings) > _SHOWN else ""
    title = printable(f"{name}: {len(findings):,} finding{'' if len(findings) == 1 else 's'}{left_out}")
    rows = [_row(finding, picture) for finding in findings[:_SHOWN]]
    if path.suffix.lower() == ".html":
        path.write_text(_page(title, rows), encoding="utf-8")
    else:
        names = [name for row in rows for name, _ in row.pictures]
        with plain_style("".join([title, *names, *(row.finding.message for row in rows)])):
            _draw_rows(title, rows, path)


def _page(title: str, rows: Sequence[Row]) -> str:
    shown = [(row, [(name, embed_picture(image) if image else None) for name, image in row.pictures]) for row in rows]
    return render("sheet.html.j2", title=title, rows=shown, colours=_COLOURS)


def _row(finding: Finding, picture: Picture) -> Row:
    pictures = []
    for file in finding.files[:_PICTURES]:
        image = picture(file)
        if image is not None:
            image.thumbnail((THUMBNAIL, THUMBNAIL))
        pictures.append((printable(file), image))
    return Row(finding, tuple(pictures))


def _draw_rows(title: str, rows: Sequence[Row], path: Path) -> None:
    """Draws a row of thumbnails a finding below what it says, on a ground that suits light and dark surroundings."""
    column, line, dpi = THUMBNAIL + 12, 16, 100
    width = _PICTURES * column + 12
    texts = [textwrap.wrap(f"{row.finding.kind}: {printable(row.finding.message)}", width // 7) for row in rows]
    tallest = [max((image.height if image else line for _, image in row.pictures), default=-line) for row in rows]
    heights = [len(text) * line + tall + 2 * line for text, tall in zip(texts, tallest, strict=True)]
    height = 3 * line + sum(heights)
    figure = Figure((width / dpi, height / dpi), dpi=dpi, facecolor="#f2f2f2")

    def write(text: str, left: int, top: int, size: float, color: str = "#222222") -> None:
        figure.text(left / width, 1 - top / height, text, va="top", size=size, color=color, linespacing=1.2)

    write(title, 12, 12, 12)
    top = 3 * line
    for row, text, taken in zip(rows, texts, heights, strict=True):
        write("\n".join(text), 12, top, 9, _COLOURS[row.finding.severity])
        below = top + len(text) * line
        for place, (name, image) in enumerate(row.pictures):
            left = 12 + place * column
            if image is None:
                write("cannot be read", left, below, 8)
            else:
                figure.figimage(np.asarray(image), left, height - below - image.height)
            write(name[-_CAPTION:], left, below + (image.height if image else line) + 2, 6.5)
        top += taken
    figure.savefig(path, dpi=dpi, facecolor=figure.get_facecolor())
