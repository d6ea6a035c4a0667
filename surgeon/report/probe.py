"""The cuts of networks, as a table and as a picture."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from rich.table import Table

from surgeon.report.figures import plain_style, short_label
from surgeon.report.terminal import styled, table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from surgeon.results.probe import CutResult, ProbeResult

_BAR = 24  # characters
_SHOWN_NAMES = 30  # cuts whose names find room in the picture


def cuts_table(result: ProbeResult) -> Table:
    """Renders every cut with a bar for its accuracy; the bars begin at the lowest one."""
    columns = ("index", "accuracy", "± s.e.", "features", "parameters", "million mult-adds", "ms per image", "MB")
    made = table(None, "index", "cut", *columns[1:3], "", *columns[3:], numbers=columns)
    low, high = min(cut.accuracy for cut in result.cuts), result.best.accuracy
    for backbone, cuts in groupby(result.cuts, key=lambda cut: cut.backbone):
        made.add_section()
        made.add_row("", styled((backbone, "bold")))
        for cut in cuts:
            part = (cut.accuracy - low) / (high - low) if high > low else 1.0
            made.add_row(
                str(cut.index),
                cut.cut,
                f"{cut.accuracy:.3f}",
                f"{cut.standard_error:.3f}",
                styled(("━" * max(1, round(_BAR * part)), "cyan")),
                f"{cut.features:,}",
                f"{cut.parameters:,}",
                f"{cut.multiply_adds / 1e6:,.0f}",
                f"{cut.milliseconds:.2f}",
                f"{cut.megabytes:,.1f}",
                style="bold" if cut in (result.best, result.suggested) else "",
            )
    return made


def suggestion_text(result: ProbeResult) -> list[Text]:
    """Says which cut is best, and which is the cheapest that is about as good."""
    best, cheap = result.best, result.suggested
    lines = [styled("best: ", (str(best), "bold"), f", accuracy {best.accuracy:.3f} ± {best.standard_error:.3f}")]
    if cheap == best:
        return [*lines, styled("no cheaper cut is within a standard error of it")]
    return [
        *lines,
        styled(
            "cheapest within a standard error: ",
            (str(cheap), "bold"),
            f", accuracy {cheap.accuracy:.3f}; {_compared(cheap, best)}",
        ),
    ]


def _compared(cheap: CutResult, best: CutResult) -> str:
    return (
        f"compared with the best, {cheap.multiply_adds / best.multiply_adds:.0%} of the multiply-adds and "
        f"{cheap.parameters / best.parameters:.0%} of the parameters"
    )


def reasons(result: ProbeResult) -> list[str]:
    """Returns why a recipe has the suggested cut, as comments for it."""
    return [
        "The cut is the one that `surgeon probe` suggests: a logistic regression on the pooled features of each cut,",
        f"in a {result.folds}-fold cross-validation on {result.images:,} training and validation images.",
        *(text.plain for text in suggestion_text(result)),
    ]


def draw_cuts(result: ProbeResult, path: Path) -> None:
    """Draws accuracy over the arithmetic per image, a line for each network, into a PNG file."""
    names = [short_label(cut.cut) for cut in result.cuts] + [cut.backbone for cut in result.cuts]
    with plain_style("".join(names)):
        cuts_figure(result).savefig(path, dpi=150, format="png")


def cuts_figure(result: ProbeResult) -> Figure:
    """Returns the picture of ``draw_cuts``."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    for backbone, group in groupby(result.cuts, key=lambda cut: cut.backbone):
        cuts = list(group)
        millions, accuracies = [cut.multiply_adds / 1e6 for cut in cuts], [cut.accuracy for cut in cuts]
        errors = [cut.standard_error for cut in cuts]
        axes.errorbar(millions, accuracies, errors, marker=".", capsize=2, label=short_label(backbone))
    for cut, name, marker in ((result.best, "best", "*"), (result.suggested, "suggested", "o")):
        axes.plot(
            cut.multiply_adds / 1e6,
            cut.accuracy,
            marker,
            markersize=16,
            markerfacecolor="none",
            markeredgecolor="black",
            label=f"{name}: {short_label(cut.cut)}",
            linestyle="none",
        )
    below = result.best.accuracy - result.best.standard_error
    axes.axhline(below, color="0.6", linestyle=":", zorder=0, label="a standard error below the best")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if len(result.cuts) <= _SHOWN_NAMES and len({cut.backbone for cut in result.cuts}) == 1:
        named = axes.secondary_xaxis("top")  # where names are in the way of no curve
        labels = [short_label(cut.cut) for cut in result.cuts]
        named.set_xticks([cut.multiply_adds / 1e6 for cut in result.cuts], labels, rotation=45, fontsize=7, ha="left")
        named.xaxis.set_minor_locator(NullLocator())
        named.spines["top"].set_visible(False)
    axes.set_xlabel("million multiply-adds per image up to the cut")
    axes.set_ylabel("cross-validated accuracy of a linear classifier")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    return figure
