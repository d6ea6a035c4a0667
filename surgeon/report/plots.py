"""What the charts have in common that are part of a page: their size, and where things lie, in units of the drawing.

Such a chart is no picture: ``frame`` of ``parts.html.j2`` draws its axes, colours follow the page's, and what it shows
can be pointed at.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgeon.report.axes import Axis

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 270, 62, 12, 22, 42
_SLANTED = 46  # more room below for names


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The axes of a chart.

    Attributes:
        title: What it shows.
        x: Ticks of the horizontal axis.
        y: Ticks of the vertical axis.
        slanted: Whether the names below are.
    """

    title: str
    xlabel: str
    ylabel: str
    x: Sequence[Tick]
    y: Sequence[Tick]
    slanted: bool = False
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = _HEIGHT - _BOTTOM
    width: int = _WIDTH

    @property
    def height(self) -> int:
        """Of the whole drawing."""
        return _HEIGHT + (_SLANTED if self.slanted else 0)


def x_of(part: float) -> float:
    """Returns where a part of the horizontal axis, from 0 to 1, lies in the drawing."""
    return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)


def y_of(part: float) -> float:
    """Returns where a part of the vertical axis, from 0 to 1, lies in the drawing."""
    return round(_HEIGHT - _BOTTOM - part * (_HEIGHT - _BOTTOM - _TOP), 1)


def points_of(
    phases: Iterable[tuple[int, Sequence[float]]], axes: tuple[Axis, Axis], most: int
) -> Iterator[list[tuple[float, float | None]]]:
    """Yields for each phase where a figure lies over the epochs of all of them.

    Args:
        phases: For each its epochs and the figure's values, or none; those that are not finite have no height.
        axes: Of the epochs and of the figure.
        most: How many epochs of a phase; the last one comes on top.
    """
    across, scale = axes
    before = 0
    for length, values in phases:
        every = math.ceil(len(values) / most) or 1
        epochs = [*range(0, len(values) - 1, every), *([len(values) - 1] if values else [])]
        yield [
            (
                x_of(across.place(before + epoch + 1)),
                y_of(scale.place(values[epoch])) if math.isfinite(values[epoch]) else None,
            )
            for epoch in epochs
        ]
        before += length


def path_through(points: Iterable[tuple[float, float | None]]) -> str:
    """Returns a path through some points, interrupted where there is none; a point alone is a dot."""
    parts = []
    for missing, group in itertools.groupby(points, key=lambda point: point[1] is None):
        if not missing:
            own = [f"{x} {y}" for x, y in group]
            parts.append(f"M{'L'.join(own if len(own) > 1 else own * 2)}")
    return "".join(parts)


def shorten(text: str, most: int) -> str:
    """Returns a name as there is room for it."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
