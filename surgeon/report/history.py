"""How runs were trained, epoch by epoch, as charts that are part of a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from surgeon.report.axes import Axis, number_axis
from surgeon.report.plots import Frame, Tick, path_through, points_of, shorten, x_of, y_of
from surgeon.text import printable

if TYPE_CHECKING:
    from surgeon.results.run import RunResult

_RATE = "learning rate"
_CHARTS = {"loss": ("loss", "val_loss"), "accuracy": ("accuracy", "val_accuracy"), _RATE: ("lr",)}
_LOOKS = ("training", "validation")  # of the figures of a chart
_DOTTED = 60  # epochs, each of which is a dot besides
_SPOTS = 300  # of a chart that can be pointed at
_FAR = 20  # times the lowest rate
_LETTER = 6.5  # wide, about


@dataclass(frozen=True)
class Band:
    """A phase: from where to where it lies, its name and as much of that as there is room for."""

    left: float
    right: float
    name: str
    label: str


@dataclass(frozen=True)
class Spot:
    """An epoch, which can be pointed at: from where to where it lies, and its figures in words."""

    number: int
    left: float
    right: float
    words: str


@dataclass(frozen=True)
class Curve:
    """A figure: its class in the style sheet, its path and, of few epochs, a path of dots."""

    look: str
    path: str
    dots: str


@dataclass(frozen=True, kw_only=True)
class History(Frame):
    """A figure over the epochs of all phases."""

    curves: Sequence[Curve]
    bands: Sequence[Band]
    spots: Sequence[Spot]


def draw_histories(results: Sequence[RunResult]) -> list[list[History]]:
    """Returns for each run the charts of its loss, its accuracy and its learning rate; all runs have the same axes."""
    longest = max(_epochs(result) for result in results)
    across = Axis(0.5, longest + 0.5, is_whole=True)
    scales = {
        title: _rate_axis(values) if title == _RATE else number_axis(values)
        for title, figures in _CHARTS.items()
        if (values := [value for result in results for name in figures for value in _values(result, name)])
    }
    return [[_draw(result, title, across, scale) for title, scale in scales.items()] for result in results]


def _rate_axis(rates: Sequence[float]) -> Axis:
    """Returns a logarithmic axis of rates that are far apart; a linear one where a rate is 0, as at a cosine's end."""
    low, high = min(rates), max(rates)
    return Axis(low / 1.1, high * 1.1, is_log=True) if high >= _FAR * low > 0 else number_axis(rates)


def _epochs(result: RunResult) -> int:
    return sum(phase.epochs for phase in result.phases)


def _values(result: RunResult, name: str) -> Iterator[float]:
    for phase in result.phases:
        yield from filter(math.isfinite, phase.history.get(name, ()))


def _draw(result: RunResult, title: str, across: Axis, scale: Axis) -> History:
    curves = [_curve(result, *figure, across, scale) for figure in zip(_CHARTS[title], _LOOKS, strict=False)]
    return History(
        title=title,
        xlabel="epoch",
        ylabel=title,
        x=[Tick(x_of(at), text) for at, text in across.ticks],
        y=[Tick(y_of(at), text) for at, text in scale.ticks],
        curves=[curve for curve in curves if curve.path],
        bands=list(_bands(result, across)),
        spots=list(_spots(result, across)),
    )


def _curve(result: RunResult, name: str, look: str, across: Axis, scale: Axis) -> Curve:
    """Returns a figure as a path, which is interrupted where a phase begins."""
    values = ((phase.epochs, phase.history.get(name, ())) for phase in result.phases)
    drawn = list(points_of(values, (across, scale), _SPOTS))
    dots = (path_through([point]) for points in drawn for point in points)
    return Curve(look, "".join(map(path_through, drawn)), "".join(dots) if _epochs(result) <= _DOTTED else "")


def _bands(result: RunResult, across: Axis) -> Iterator[Band]:
    before = 0
    for phase in result.phases:
        left, right = (x_of(across.place(before + epochs + 0.5)) for epochs in (0, phase.epochs))
        name = printable(phase.name)
        room = int((right - left) / _LETTER)
        yield Band(left, right, name, shorten(name, room) if room > 2 else "")
        before += phase.epochs


def _spots(result: RunResult, across: Axis) -> Iterator[Spot]:
    """Yields the epochs; of very many, every few, which stand for those behind them."""
    every = math.ceil(_epochs(result) / _SPOTS)
    before = 0
    for phase in result.phases:
        for epoch in range(1, phase.epochs + 1, every):
            last = min(epoch + every - 1, phase.epochs)
            left, right = (x_of(across.place(before + edge - 0.5)) for edge in (epoch, last + 1))
            figures = ", ".join(f"{name} {values[epoch - 1]:.4g}" for name, values in phase.history.items())
            yield Spot(before + epoch, left, right, f"{printable(phase.name)}, epoch {epoch}: {figures}")
        before += phase.epochs
