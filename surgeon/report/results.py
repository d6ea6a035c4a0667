"""What runs came to."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from surgeon.report.terminal import styled, table
from surgeon.results.findings import short_value
from surgeon.results.run import figure
from surgeon.text import counted, first_few

if TYPE_CHECKING:
    from surgeon.results.findings import Difference
    from surgeon.results.run import Acceptance, Evaluation, FrozenResult, Measures, RunResult, Spread
    from surgeon.results.use import McNemar

_SHOWN = 20  # differences of a part
_NAMED = 10  # classes without an image


def classification_table(evaluation: Evaluation, title: str) -> Table:
    """Renders precision, recall, F1 and support of each class that has an image, then the averages."""
    columns = ("precision", "recall", "f1-score", "support")
    made = table(title, "class", *columns, numbers=columns)
    for name, measures in evaluation.measured:
        made.add_row(name, *_measures(measures))
    made.add_section()
    made.add_row("accuracy", "", "", f"{evaluation.accuracy:.2f}", str(evaluation.weighted.support))
    made.add_row("macro avg", *_measures(evaluation.macro))
    made.add_row("weighted avg", *_measures(evaluation.weighted))
    return made


def _measures(measures: Measures) -> list[str]:
    parts = (measures.precision, measures.recall, measures.f1)
    return [*(f"{part:.2f}" for part in parts), str(measures.support)]


def averages_text(evaluation: Evaluation) -> str | None:
    """Says over which classes the averages are; None if that is over all of them."""
    missing = evaluation.missing
    if not missing:
        return None
    named = ", ".join(first_few(missing, _NAMED))
    others = "the only class" if len(evaluation.measured) == 1 else f"the {len(evaluation.measured):,} classes"
    return f"There are no images of {named}, so averages are over {others} with images"


def methods_table(result: RunResult) -> Table:
    """Renders the trained network beside the linear probe and what the recipe's author measured."""
    names = ("accuracy", "macro_f1", "weighted_f1")
    made = table(None, "method", *names, numbers=names)
    for method, evaluation in result.methods().items():
        made.add_row(method, *(f"{figure(evaluation, name):.4f}" for name in names))
    if result.expected:
        made.add_row("expected", *(_spread(result.expected.get(name, {})) for name in names), style="dim")
    return made


def _spread(figure: Mapping[str, float]) -> str:
    """Returns a mean with its standard deviation, as far as they are known."""
    return " ± ".join(f"{figure[name]:.4f}" for name in ("mean", "std") if name in figure)


def expectation_text(result: RunResult) -> str | None:
    """Says how far a result is from what the recipe's author measured; None where that is not known."""
    if result.evaluation is None or not result.expected:
        return None
    said = []
    for name, expected in result.expected.items():
        off = figure(result.evaluation, name) - expected["mean"]
        if abs(off) < 5e-5:  # which would show as 0.0000
            said.append(f"{name} matches the author's result")
            continue
        spread = f", {abs(off) / expected['std']:.1f} standard deviations over seeds" if expected.get("std") else ""
        said.append(f"{name} is {abs(off):.4f} {'above' if off > 0 else 'below'} the author's result{spread}")
    return "; ".join(said)


def acceptance_lines(found: Acceptance) -> list[str]:
    """Says how many images were rejected, and how right the network is about the others."""
    said = []
    if found.images:
        part = f"({found.accepted / found.images:.1%})"
        right = "" if found.accuracy is None else f", {found.accuracy:.1%} of them classified correctly"
        said.append(f"{found.accepted:,} of {found.images:,} images of known classes are accepted {part}{right}")
    if found.strangers:
        rejected = f"{found.rejected_strangers:,} of {found.strangers:,} images of other classes are rejected"
        said.append(f"{rejected} ({found.rejected_strangers / found.strangers:.1%})")
    return said


def frozen_text(frozen: FrozenResult) -> str:
    """Returns what the store was good for."""
    known = f"{counted(frozen.known, 'image')} cached"
    done = f"frozen layers: {known}, {frozen.computed:,} computed in {frozen.seconds:.0f} s"
    if frozen.saved_seconds is None or frozen.saved_seconds < 0.5:  # which would show as 0 s
        return done
    saved = f"{frozen.saved_seconds / 60:,.0f} min" if frozen.saved_seconds >= 60 else f"{frozen.saved_seconds:.0f} s"
    return f"{done}; without kept features the run would have taken about {saved} longer"


def spread_table(spreads: Mapping[str, Spread]) -> Table:
    """Renders what several runs of one recipe came to: a row a figure."""
    columns = ("mean", "std", "min", "max")
    made = table(None, "figure", *columns, numbers=columns)
    for name, spread in spreads.items():
        numbers = (spread.mean, spread.std, min(spread.values), max(spread.values))
        made.add_row(name, *(f"{number:.4f}" for number in numbers))
    return made


def comparison_table(
    runs: Sequence[str], figures: Sequence[Mapping[str, float]], tests: Sequence[McNemar | None]
) -> Table:
    """Renders runs as columns, the best of each measure in bold; the tests are each run's against the first."""
    made = table(None, "", *runs, numbers=runs)
    for name, cells in comparison_rows(figures, tests):
        made.add_row(name, *(styled((text, "bold")) if is_best else text for text, is_best in cells))
    return made


_MEASURES = ("validation", "network", "linear probe")  # figures from 0 to 1, of which more is better, begin so


def comparison_rows(
    figures: Sequence[Mapping[str, float]], tests: Sequence[McNemar | None]
) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Returns the rows of such a table: what each is called, then what each run has there and if it is the best."""
    rows = []
    for name in dict.fromkeys(name for own in figures for name in own):
        is_measure = name.startswith(_MEASURES)
        texts = [(f"{own[name]:.4f}" if is_measure else f"{own[name]:,.0f}") if name in own else "" for own in figures]
        best = max(texts) if is_measure and len(set(texts)) > 1 else None
        rows.append((name, [(text, text == best) for text in texts]))
    _, *others = tests
    if any(others):
        told = (
            "different test images" if test is None else f"{test.p_value:.3f} ({test.only_first} : {test.only_second})"
            for test in others
        )
        rows.append(("McNemar's p, right alone", [(text, False) for text in ("", *told)]))
    return rows


def other_images_text(runs: Sequence[str], have_other_images: Sequence[bool]) -> str | None:
    """Warns of runs that were tested on other images than the first; None if there are none."""
    others = [run for run, has_other in zip(runs, have_other_images, strict=True) if has_other]
    if not others:
        return None
    were = "was" if len(others) == 1 else "were"
    return (
        f"{', '.join(others)} {were} tested on other images than {runs[0]}: differences between their figures may come "
        "from the images"
    )


def differences_table(title: str, differences: Sequence[Difference], before: str, after: str) -> Table:
    """Renders what differs, as many of each part as a person reads."""
    made = table(title, "", "", before, after)
    for part, found in itertools.groupby(differences, key=lambda difference: difference.part):
        group = list(found)
        for difference in group[:_SHOWN]:
            values = (difference.before, difference.after)
            made.add_row(part, difference.name, *map(short_value, values))
        if len(group) > _SHOWN:
            made.add_row(part, f"and {len(group) - _SHOWN:,} more", "", "")
    return made
