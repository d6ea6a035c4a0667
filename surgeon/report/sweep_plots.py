"""The charts of a sweep's page, as coordinates that ``sweep.html.j2`` draws.

They are parts of the page and no pictures: a trial has the same number in all of them, so that it can be shown in all
when it is chosen in one, and colours follow the page's. Of too many trials, some are drawn that lie evenly from the
best to the worst.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surgeon.report.axes import Axis, Categories, number_axis, value_axis
from surgeon.report.plots import Frame, Tick, path_through, points_of, shorten, x_of, y_of
from surgeon.report.sweep import best_so_far

if TYPE_CHECKING:
    from surgeon.results.sweep import SweepResult, Trial

SHADES = 6  # from the worst trial to the best
_CROWD = 60  # marks, of which none hides many others
_MARKS = 1000  # trials in a chart of dots
_SLICED = 8000  # dots of all the charts of one value each
_LINES = 200  # trials as lines
_CURVES = 100  # trials whose epochs are drawn
_POINTS = 60  # of a curve in a phase
_BEYOND = 2.5  # quartile distances from the quartiles: who is further from the good ones lies on the edge
_NAME, _TICK = 18, 15  # characters
_COLUMN, _TALL = 132, 320  # of parallel coordinates


@dataclass(frozen=True)
class Mark:
    """A trial in a chart.

    Attributes:
        number: The trial's.
        look: Its class in the style sheet.
        at: Where, as the coordinates of a dot or as the path of a line.
    """

    number: int
    look: str
    at: Any

    @property
    def shape(self) -> str:
        """The name of its dot's drawing."""
        return self.look.split()[-1] if self.look.endswith("best") else self.look.split()[0]


@dataclass(frozen=True, kw_only=True)
class Plot(Frame):
    """A chart of dots or curves.

    Attributes:
        marks: The trials, the best one last.
        left_out: How many others are not drawn.
        line: The best so far as a path, or nothing.
    """

    marks: Sequence[Mark]
    left_out: int = 0
    line: str = ""

    @property
    def is_crowded(self) -> bool:
        """Whether marks are drawn smaller."""
        return len(self.marks) > _CROWD


@dataclass(frozen=True)
class Column:
    """An axis of parallel coordinates: where it stands, what it is, its ticks."""

    at: int
    name: str
    path: str
    ticks: Sequence[Tick]


@dataclass(frozen=True)
class Parallel:
    """Parallel coordinates: a column for each varied value, one for the objective, a line for each trial."""

    columns: Sequence[Column]
    marks: Sequence[Mark]
    left_out: int
    width: int
    height: int = _TALL
    top: int = 40
    bottom: int = _TALL - 16

    @property
    def is_crowded(self) -> bool:
        """Whether lines are drawn thinner."""
        return len(self.marks) > _CROWD


class Plots:
    """All charts of a sweep.

    Args:
        result: The sweep's.
        trials: Those that the page shows, the best first.
        names: What each varied path is called in short.
    """

    def __init__(self, result: SweepResult, trials: Sequence[Trial], names: Mapping[str, str]) -> None:
        self._result = result
        self._trials = trials
        self._names = names
        self._axis = _objective_axis(result)
        self._looks = _looks(result)

    def history(self) -> Plot:
        """Returns the objective over the trials' numbers."""
        places = {trial.number: float(trial.number) for trial in self._trials}
        return self._over(places, number_axis(places.values(), is_whole=True), "trial", "by trial")

    def over_time(self) -> Plot:
        """Returns the objective over the sweep's time."""
        longest = max(trial.ended for trial in self._trials)
        unit, name = (3600, "hours") if longest >= 7200 else (60, "minutes") if longest >= 120 else (1, "seconds")
        places = {trial.number: trial.ended / unit for trial in self._trials}
        return self._over(places, number_axis([0.0, *places.values()]), name, "by time")

    def _over(self, places: Mapping[int, float], axis: Axis, name: str, title: str) -> Plot:
        steps = [(x_of(axis.place(at)), y_of(self._axis.place(best))) for at, best in best_so_far(self._result, places)]
        line = "".join(f"H{x}V{y}" for x, y in steps[1:])
        return self._dots(
            {number: axis.place(at) for number, at in places.items()},
            axis,
            (f"{self._result.objective} {title}", name),
            line=f"M{steps[0][0]} {steps[0][1]}{line}" if steps else "",
        )

    def slices(self) -> list[Plot]:
        """Returns the objective over each varied value."""
        return [self._slice(path) for path in self._names]

    def _slice(self, path: str) -> Plot:
        having = {trial.number: trial.values[path] for trial in self._trials if path in trial.values}
        axis = value_axis(list(having.values()))
        places = {number: axis.place(value) for number, value in having.items()}
        if isinstance(axis, Categories):  # dots of one value lie beside each other
            spread = 0.6 / len(axis.names)
            places = {number: at + spread * (number * 0.618 % 1 - 0.5) for number, at in places.items()}
        most = min(_MARKS, _SLICED // len(self._names))
        return self._dots(places, axis, (path, self._names[path]), most=most)

    def _dots(
        self,
        places: Mapping[int, float],
        axis: Axis | Categories,
        titles: tuple[str, str],
        *,
        most: int = _MARKS,
        line: str = "",
    ) -> Plot:
        having = [trial for trial in self._trials if trial.number in places]
        marks = [
            Mark(trial.number, self._looks[trial.number], (x_of(places[trial.number]), self._height(trial)))
            for trial in _some(having, most)
        ]
        title, xlabel = titles
        slanted = isinstance(axis, Categories) and sum(len(name) for name in axis.names) > 50
        return Plot(
            title=title,
            xlabel=xlabel,
            ylabel=self._result.objective,
            x=[Tick(x_of(at), shorten(text, _TICK)) for at, text in axis.ticks],
            y=[Tick(y_of(at), text) for at, text in self._axis.ticks],
            marks=marks[::-1],
            left_out=len(having) - len(marks),
            line=line,
            slanted=slanted,
        )

    def _height(self, trial: Trial) -> float:
        """Returns where a trial lies by its objective; without one it lies on the horizontal axis."""
        return y_of(self._place(trial) or 0.0)

    def _place(self, trial: Trial) -> float | None:
        """Returns where a trial lies on the axis of the objective, from 0 to 1, if it has one that is finite."""
        objective = trial.objective
        return None if objective is None or not math.isfinite(objective) else self._axis.place(objective)

    def parallel(self) -> Parallel:
        """Returns all values of each trial at once; duplicates, whose lines would hide others, are left out."""
        axes: dict[str, Axis | Categories] = {
            path: value_axis([trial.values[path] for trial in self._trials if path in trial.values])
            for path in self._names
        }
        left, top, bottom = 24, Parallel.top, Parallel.bottom

        def height(part: float) -> int:
            return round(bottom - part * (bottom - top))

        def line(trial: Trial) -> str:
            values = [axis.place(trial.values[path]) if path in trial.values else None for path, axis in axes.items()]
            places = enumerate([*values, self._place(trial)])
            return path_through((left + number * _COLUMN, None if at is None else height(at)) for number, at in places)

        lines = [trial for trial in self._trials if trial.state != "duplicate"]
        marks = [Mark(trial.number, self._looks[trial.number], line(trial)) for trial in _some(lines, _LINES)]
        named = [*self._names.items(), (self._result.objective, self._result.objective)]
        columns = [
            Column(
                left + number * _COLUMN,
                shorten(name, _NAME),
                path,
                [Tick(height(at), shorten(text, _TICK)) for at, text in axis.ticks],
            )
            for number, ((path, name), axis) in enumerate(zip(named, [*axes.values(), self._axis], strict=True))
        ]
        return Parallel(columns, marks[::-1], len(lines) - len(marks), left + len(columns) * _COLUMN)

    def curves(self) -> list[Plot]:
        """Returns the objective and the training loss over the epochs of all phases."""
        trained = [trial for trial in self._trials if trial.phases]
        figures = dict.fromkeys((self._result.objective, "loss"))
        return [self._curve(figure, trained) for figure in figures] if trained else []

    def _curve(self, figure: str, trained: Sequence[Trial]) -> Plot:
        drawn = _some(trained, _CURVES)
        values = sorted(
            value
            for trial in drawn
            for phase in trial.phases
            for value in phase.history.get(figure, ())
            if math.isfinite(value)
        )
        few = len(values) // 50  # what is worst for a moment would press all else together
        usual = values[few:] if figure == "val_accuracy" else values[: len(values) - few]
        y_axis = number_axis(usual or [0.0])
        x_axis = number_axis([1.0, max(sum(phase.epochs for phase in trial.phases) for trial in drawn)], is_whole=True)
        marks = [Mark(trial.number, self._looks[trial.number], _path(trial, figure, x_axis, y_axis)) for trial in drawn]
        return Plot(
            title=f"{figure} of each trial over the epochs of all phases",
            xlabel="epoch",
            ylabel=figure,
            x=[Tick(x_of(at), text) for at, text in x_axis.ticks],
            y=[Tick(y_of(at), text) for at, text in y_axis.ticks],
            marks=marks[::-1],
            left_out=len(trained) - len(drawn),
        )


def _some(trials: Sequence[Trial], most: int) -> Sequence[Trial]:
    """Returns so many trials that lie evenly among all, the first one always."""
    every = len(trials) / most
    return trials if every <= 1 else [trials[math.floor(number * every)] for number in range(most)]


def _objective_axis(result: SweepResult) -> Axis:
    """Returns the axis of the objective; the worst trials lie on its edge, if all else would be pressed together."""
    known = [
        trial.objective for trial in result.trials if trial.objective is not None and math.isfinite(trial.objective)
    ]
    if len(known) < 8:
        return number_axis(known or [0.0])
    first, _, third = statistics.quantiles(known, n=4)
    room = _BEYOND * (third - first) or math.inf
    if result.is_maximized:
        return number_axis([max(min(known), first - room), max(known)])
    return number_axis([min(known), min(max(known), third + room)])


def _looks(result: SweepResult) -> dict[int, str]:
    """Returns the class of each trial in the style sheet: a shade for finished ones, else its state."""
    looks = {trial.number: trial.state for trial in result.trials}
    count = len(result.ranked)
    for at, trial in enumerate(result.ranked):
        looks[trial.number] = f"finished q{SHADES - 1 - SHADES * at // count}" if at else "finished best"
    return looks


def _path(trial: Trial, figure: str, x_axis: Axis, y_axis: Axis) -> str:
    """Returns a figure over the epochs of all phases as a path, which is interrupted where a phase begins."""
    values = ((phase.epochs, phase.history.get(figure, ())) for phase in trial.phases)
    return "".join(map(path_through, points_of(values, (x_axis, y_axis), _POINTS)))
