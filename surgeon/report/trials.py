"""Trials of a sweep in words: their values, one as a line, how far they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from surgeon.report.forecast import duration
from surgeon.report.terminal import styled, table

if TYPE_CHECKING:
    from rich.text import Text

    from surgeon.results.events import TrialEnded
    from surgeon.results.sweep import Trial

STATES = ("finished", "pruned", "failed", "duplicate")


def value_text(value: Any) -> str:
    """Returns a varied value about as a recipe has it, a number with four figures.

    >>> value_text([0.00031622, "head", {"sgd": {"nesterov": True}}, None])
    '[0.0003162, head, {sgd: {nesterov: true}}, null]'
    """
    if isinstance(value, float):
        return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e")
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {value_text(part)}' for name, part in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def short_paths(paths: Iterable[str]) -> dict[str, str]:
    """Returns what each path is called beside the others: its end, if no other ends so.

    >>> short_paths(["head[1].dense.units", "phases[0].lr", "phases[1].lr"])
    {'head[1].dense.units': 'units', 'phases[0].lr': 'phases[0].lr', 'phases[1].lr': 'phases[1].lr'}
    >>> list(short_paths(["phases[0].lr.cosine.peak", "phases[1].lr.cosine.peak"]).values())
    ['phases[0]…peak', 'phases[1]…peak']
    """
    names = {path: path for path in paths}
    parts = {path: path.split(".") for path in names}
    ends = {path: [own[-1], f"{own[0]}{'.' if len(own) == 2 else '…'}{own[-1]}"] for path, own in parts.items()}
    for at in (1, 0):
        known = Counter(own[at] for own in ends.values())
        names |= {path: own[at] for path, own in ends.items() if known[own[at]] == 1}
    return names


def values_text(values: Mapping[str, Any]) -> str:
    """Returns varied values with their short names, as one line."""
    names = short_paths(values)
    return ", ".join(f"{names[path]} {value_text(value)}" for path, value in values.items())


def counts_text(trials: Iterable[Trial]) -> str:
    """Returns how many trials ended how, such as ``12 finished, 2 failed``."""
    known = Counter(trial.state for trial in trials)
    return ", ".join(f"{known[state]:,} {state}{_plural(state, known[state])}" for state in STATES if known[state])


def _plural(state: str, count: int) -> str:
    return "s" if state == "duplicate" and count > 1 else ""


def trial_line(trial: Trial) -> Text:
    """Returns a trial that ended as a line."""
    result = "" if trial.objective is None else f" {trial.objective:.4f}"
    told = "" if trial.state == "finished" else f" {trial.state}" + (f" ({trial.reason})" if trial.reason else "")
    return styled(
        (f"trial {trial.number}:", "bold"), result, told, f"; {values_text(trial.values)}; {trial.seconds:.1f} s"
    )


def live_table(ended: TrialEnded, states: Mapping[str, int]) -> Table:
    """Renders how far a sweep is.

    Args:
        ended: The last of its trials.
        states: How many ended in each state while it was watched.
    """
    others = [state for state in STATES if states.get(state)]
    columns = ("trials", *others, "per hour", "time left")
    made = table(None, "best so far", *columns, numbers=columns)
    best = ended.best
    made.add_row(
        "" if best is None else f"{best.objective:.4f}, trial {best.number}",
        f"{ended.done:,}" if ended.total is None else f"{ended.done:,} of {ended.total:,}",
        *(f"{states[state]:,}" for state in others),
        f"{3600 * ended.done / ended.seconds:,.0f}" if ended.seconds else "",
        "" if ended.seconds_left is None else duration(ended.seconds_left),
    )
    return made
