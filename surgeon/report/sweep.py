"""What a sweep came to: as a table, in words and as a picture."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from rich.table import Table

from surgeon.report.figures import plain_style, short_label
from surgeon.report.terminal import styled, table
from surgeon.report.trials import STATES, counts_text, short_paths, value_text
from surgeon.text import first_few, printable

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from surgeon.results.sweep import FinalResult, SweepResult, Trial

_SHOWN = 20  # trials in the table
_WIDTH = 39  # characters of a table that is 80 wide, for the varied values
_CELL = 15  # of one of them, before it is wrapped
_NAMED = 5  # trials, reasons or values in a line
_BARS = 12  # importances in the picture
_MEASURES = {"val_accuracy": "validation accuracy", "val_loss": "validation loss"}
_BLUE, _RED = "#2563a8", "#d9480f"


def best_first(result: SweepResult) -> list[Trial]:
    """Returns all trials: the finished ones, the best first, then those that were pruned, failed or are duplicates."""
    return [*result.ranked, *sorted(_others(result), key=lambda trial: (STATES.index(trial.state), trial.number))]


def _others(result: SweepResult) -> list[Trial]:
    finished = set(map(id, result.ranked))
    return [trial for trial in result.trials if id(trial) not in finished]


def trials_table(result: SweepResult) -> Table:
    """Renders the best trials, with as many of the varied values as a narrow terminal has room for.

    Those that explain the most come first; a caption names the others.
    """
    trials = best_first(result)
    shown, left = trials[:_SHOWN], trials[_SHOWN:]
    columns, left_out = _columns(result, shown)
    made = table(
        None, "trial", "state", result.objective.removeprefix("val_"), *columns.values(), "s", numbers=("trial", "s")
    )
    for trial in shown:
        values = (_cell(trial, path) for path in columns)
        objective = "" if trial.objective is None else f"{trial.objective:.4f}"
        style = "bold" if trial is result.best else ""
        made.add_row(str(trial.number), trial.state, objective, *values, f"{trial.seconds:.1f}", style=style)
    notes = [f"and {len(left):,} more: {counts_text(left)}"] if left else []
    notes += [f"not shown: {', '.join(left_out)}"] if left_out else []
    made.caption, made.caption_justify = "; ".join(notes) or None, "left"
    return made


def _columns(result: SweepResult, shown: Sequence[Trial]) -> tuple[dict[str, str], list[str]]:
    """Returns the titles of the columns that there is room for, by path, and what the other paths are called."""
    names = varied(result.trials)
    columns: dict[str, str] = {}
    room = _WIDTH
    for path in sorted(names, key=lambda path: -result.importances.get(path, 0.0)):
        longest = max(len(_cell(trial, path)) for trial in shown)
        width = 3 + max(len(names[path]), min(longest, _CELL))
        if width <= room or not columns:
            columns[path] = names[path]
            room -= width
    return columns, [name for path, name in names.items() if path not in columns]


def varied(trials: Iterable[Trial]) -> dict[str, str]:
    """Returns what each path that some trials vary is called in short."""
    return short_paths(dict.fromkeys(path for trial in trials for path in trial.values))


def _cell(trial: Trial, path: str) -> str:
    return printable(value_text(trial.values[path])) if path in trial.values else ""


def verdict(result: SweepResult) -> str:
    """Says in a sentence what the best trial reached, and how sure that is."""
    count, best = len(result.ranked), result.best
    if best is None:
        return f"None of {len(result.trials):,} trials finished."
    error = result.standard_error
    reached = f"{best.objective:.4f}" if error is None else f"{best.objective:.4f} ± {error:.4f} (standard error)"
    folds = "" if result.folds == 1 else f", the mean over {result.folds} folds,"
    measure = _MEASURES.get(result.objective, result.objective)
    who = "The only finished trial" if count == 1 else f"The best of {count:,} finished trials"
    tied = [str(trial.number) for trial in result.ranked[1:] if trial.objective == best.objective]
    first = f" (as good: trial{'s' * (len(tied) > 1)} {', '.join(first_few(tied, _NAMED))})" if tied else ""
    where = f"on {result.images:,} validation images"
    return f"{who}, trial {best.number}{first}, reached a {measure} of {reached}{folds} {where}."


def caution(result: SweepResult) -> str:
    """Says what the figure of the best trial is not; nothing where there was no choice."""
    count, level = len(result.ranked), level_with_best(result)
    if count < 2:
        return ""
    if result.standard_error is None:
        return f"As the best of {count:,}, it is optimistic; without folds, the standard error of a loss is not known."
    others = ", ".join(first_few((str(trial.number) for trial in level), _NAMED))
    within = f"trial{'s' * (len(level) > 1)} {others}" if level else "no other trial"
    expected = "lower" if result.is_maximized else "higher"
    return (
        f"As the best of {count:,}, it is optimistic: expect a {expected} figure on other images. "
        f"Within a standard error of it: {within}."
    )


def own_text(result: SweepResult) -> str:
    """Says what the recipe itself came to; nothing if it failed or that is not known."""
    if result.own == 0:
        return "The recipe itself was not among the trials."
    own = next((trial for trial in result.trials if trial.number == result.own), None)
    if own is None or own.objective is None:
        return ""
    if own is result.best:
        return "It is the recipe itself: nothing else that was tried did better."
    how = "reached" if own.state == "finished" else "was ended early at"
    level = ", within a standard error of it" if own in level_with_best(result) else ""
    return f"The recipe itself, trial {own.number}, {how} {own.objective:.4f}{level}."


def untrained_text(result: SweepResult) -> str:
    """Says how many trials are as good as they began; nothing if none is."""
    kept = sum(trial.phases[-1].best_epoch == 0 for trial in result.ranked if trial.phases)
    if not kept:
        return ""
    who = "All" if kept == len(result.ranked) else f"{kept:,} of {len(result.ranked):,}"
    return f"{who} end with the weights that the last phase began with: by what it monitors, no epoch did better."


def level_with_best(result: SweepResult) -> list[Trial]:
    """Returns the other finished trials that are within a standard error of the best one."""
    best, error = result.best, result.standard_error
    if best is None or best.objective is None or error is None:
        return []
    limit = best.objective
    return [trial for trial in result.ranked[1:] if abs((trial.objective or 0.0) - limit) <= error]


def final_text(final: FinalResult) -> str:
    """Says what the best recipe came to on the test images."""
    figures = ", ".join(
        f"{name} {spread.mean:.4f}" + (f" ± {spread.std:.4f}" if len(spread.values) > 1 else "")
        for name, spread in final.figures.items()
    )
    if len(final.runs) == 1:
        return f"On the test images, trained once: {figures}."
    return f"On the test images, trained with {len(final.runs)} seeds: {figures} (mean and standard deviation)."


def next_commands(folder: Path) -> list[str]:
    """Returns what to do with the best recipe of a sweep, as commands."""
    best, own = (shlex.quote(printable(path)) for path in (folder / "best.yaml", folder))
    return [f"surgeon run {best}", f"surgeon sweep {own} --resume --final 3"]


def best_text(result: SweepResult, folder: Path) -> list[Text]:
    """Says which trial is best, how sure that is, what matters, and what to do next.

    Args:
        result: The sweep's.
        folder: Its folder, which has the best recipe as ``best.yaml``.
    """
    lines = [styled((verdict(result), "bold"))]
    if result.stopped:
        lines.append(styled(f"stopped early: {result.stopped}"))
    if result.best is None:
        return lines
    lines += [styled(text) for text in (own_text(result), untrained_text(result), caution(result)) if text]
    if result.explained:
        names = varied(result.trials)
        parts = [f"{names.get(path, path)} {part:.0%}" for path, part in result.explained.items()]
        lines.append(styled("share of the differences explained by each value: ", ", ".join(first_few(parts, _NAMED))))
    if result.final is not None:
        lines.append(styled((final_text(result.final), "bold")))
    run, final = next_commands(folder)
    lines.append(styled("its recipe: ", (str(folder / "best.yaml"), "bold"), "; train it: ", (run, "bold")))
    if result.final is None:
        lines.append(styled("test it with three seeds: ", (final, "bold")))
    page = folder / "report.html"
    if page.exists():
        lines.append(styled("report: ", (str(page), "bold")))
    return lines


def failures_text(result: SweepResult) -> list[Text]:
    """Says which trials failed and why, a line per reason."""
    failed = sorted((trial for trial in result.trials if trial.state == "failed"), key=lambda trial: trial.reason)
    groups = [(reason, list(group)) for reason, group in itertools.groupby(failed, key=lambda trial: trial.reason)]
    groups.sort(key=lambda group: -len(group[1]))
    lines = []
    for reason, group in groups[:_NAMED]:
        numbers = ", ".join(first_few((str(trial.number) for trial in group), _NAMED))
        lines.append(styled((f"{len(group):,} failed", "red"), f" (trial{'s' * (len(group) > 1)} {numbers}): {reason}"))
    if len(groups) > _NAMED:
        lines.append(styled(f"and {len(groups) - _NAMED:,} more reasons"))
    return lines


def draw_sweep(result: SweepResult, path: Path) -> None:
    """Draws the objective of each trial, and what explains it, into a PNG file."""
    with plain_style("".join(varied(result.trials).values())):
        sweep_figure(result).savefig(path, dpi=150, format="png")


def sweep_figure(result: SweepResult) -> Figure:
    """Returns the objective over the trials, beside it the importances or, without any, the objective over time."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    history, beside = figure.subplots(1, 2)
    _plot_history(history, result, "trial", [trial.number for trial in result.trials])
    history.xaxis.get_major_locator().set_params(integer=True)
    if result.explained:
        names = varied(result.trials)
        shown = list(result.explained.items())[:_BARS][::-1]
        beside.barh([short_label(names.get(path, path)) for path, _ in shown], [part for _, part in shown], color=_BLUE)
        beside.set(xlabel="share of the differences explained", xlim=(0, 1))
        beside.spines[["top", "right"]].set_visible(False)
    else:
        _plot_history(beside, result, "seconds", [trial.ended for trial in result.trials])
    return figure


def _plot_history(axes: Any, result: SweepResult, xlabel: str, places: Sequence[float]) -> None:
    """Plots each trial that has an objective at its place, and the best so far."""
    known = [(at, trial) for at, trial in zip(places, result.trials, strict=True) if trial.objective is not None]
    for state, marker, color in (("finished", "o", _BLUE), ("pruned", "d", "0.6")):
        own = [(at, trial.objective) for at, trial in known if trial.state == state]
        if own:
            axes.plot(*zip(*own, strict=True), marker, color=color, markersize=5, linestyle="none", label=state)
    steps = best_so_far(result, {trial.number: at for at, trial in known})
    if steps:
        axes.step(*zip(*steps, strict=True), where="post", color=_RED, label="best so far")
        axes.legend(frameon=False)
    axes.set(xlabel=xlabel, ylabel=_MEASURES.get(result.objective, result.objective))
    axes.spines[["top", "right"]].set_visible(False)


def best_so_far(result: SweepResult, places: Mapping[int, float]) -> list[tuple[float, float]]:
    """Returns where the best objective improved, and its value from there on; last, where it still holds.

    Args:
        result: The sweep's.
        places: Where trials lie, by their numbers; others are not counted.
    """
    finished = sorted(
        (trial for trial in result.ranked if trial.number in places), key=lambda trial: places[trial.number]
    )
    steps: list[tuple[float, float]] = []
    for trial in finished:
        objective = trial.objective or 0.0
        if not steps or (objective > steps[-1][1] if result.is_maximized else objective < steps[-1][1]):
            steps.append((places[trial.number], objective))
    return [*steps, (max(places.values()), steps[-1][1])] if steps else []
