"""A sweep as one page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from surgeon.recipe.text import leaves, spell_path
from surgeon.report.forecast import duration
from surgeon.report.markup import render
from surgeon.report.sweep import (
    best_first,
    caution,
    failures_text,
    final_text,
    level_with_best,
    own_text,
    untrained_text,
    varied,
    verdict,
)
from surgeon.report.sweep_plots import SHADES, Plots
from surgeon.report.trials import counts_text, value_text
from surgeon.text import printable

if TYPE_CHECKING:
    from surgeon.results.sweep import SweepResult, Trial

_ROWS = 2000  # trials on the page
_WIDE = 24  # characters of a value that stands on the left of a column that wraps


def render_sweep(result: SweepResult, recipe: str, commands: Sequence[str]) -> str:
    """Returns the page as HTML with everything in it, charts and script included.

    Args:
        result: What the sweep came to.
        recipe: The text of the best recipe; empty if no trial finished.
        commands: What to do with it, to copy.
    """
    trials = best_first(result)[:_ROWS]
    names, compared = varied(trials), next(iter(trials), None)
    return render(
        "sweep.html.j2",
        title=f"sweep of {result.name}",
        result=result,
        verdict=verdict(result),
        own=own_text(result),
        untrained=untrained_text(result),
        caution=caution(result),
        final=final_text(result.final) if result.final else "",
        figures=_figures(result),
        recipe=recipe,
        commands=commands,
        importances=[(path, part) for path, part in result.explained.items()],
        plots=Plots(result, trials, names) if any(trial.objective is not None for trial in trials) else None,
        shades=SHADES,
        failures=[line.plain for line in failures_text(result)],
        columns=["trial", "state", result.objective, *names.values(), "epochs", "trained together", "seconds"],
        text=[name for path, name in names.items() if _is_wide(path, trials)] + ["its recipe", "why"],
        compared=compared,
        rows=[_row(trial, names, compared) for trial in trials],
        left_out=len(result.trials) - len(trials),
    )


def _figures(result: SweepResult) -> list[dict[str, Any]]:
    """Returns what stands in large print."""
    best, error, count = result.best, result.standard_error, len(result.trials)
    figures: list[dict[str, Any]] = []
    if best is not None:
        notes = [] if error is None else [f"± {error:.4f} standard error, {result.images:,} images"]
        notes += [f"other trials within it: {len(level_with_best(result)):,}"] if error is not None else []
        figures.append({"title": f"best {result.objective}", "value": f"{best.objective:.4f}", "notes": notes})
    if result.final is not None:
        accuracy = result.final.figures["accuracy"]
        note = f"± {accuracy.std:.4f} over {len(accuracy.values)} seeds" if len(accuracy.values) > 1 else "one run"
        figures.append({"title": "test accuracy", "value": f"{accuracy.mean:.4f}", "notes": [note]})
    pace = [f"{3600 * count / result.seconds:,.0f} trials per hour"] if result.seconds else []
    return [
        *figures,
        {"title": "trials", "value": f"{count:,}", "notes": [counts_text(result.trials)]},
        {"title": "time", "value": duration(result.seconds), "notes": pace},
    ]


def _is_wide(path: str, trials: Iterable[Trial]) -> bool:
    return any(len(value_text(trial.values.get(path, ""))) > _WIDE for trial in trials)


def _row(trial: Trial, names: Mapping[str, str], compared: Trial | None) -> dict[str, Any]:
    """Returns a trial as a row: its cells, and what its resolved recipe says otherwise than another trial's."""
    return {
        "trial": trial,
        "values": [value_text(trial.values[path]) if path in trial.values else "" for path in names],
        "epochs": sum(phase.epochs for phase in trial.phases) or "",
        "differences": list(_differences(compared, trial)) if compared is not None else [],
    }


def _differences(one: Trial, other: Trial) -> Iterator[str]:
    """Yields the values of another trial's resolved recipe that are not those of the one, each by its path."""
    own, others = dict(leaves(one.recipe)), dict(leaves(other.recipe))
    for path in dict.fromkeys([*own, *others]):
        if (path in own) != (path in others) or own.get(path) != others.get(path):
            yield printable(f"{spell_path(path)}: {json.dumps(others.get(path), ensure_ascii=False)}")
