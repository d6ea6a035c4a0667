"""How accuracy depends on how much is trained, as a table and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from rich.table import Table

from surgeon.report.figures import plain_style, short_label
from surgeon.report.terminal import styled, table
from surgeon.text import counted

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from surgeon.results.depth import DepthSearchResult


def depths_table(found: DepthSearchResult) -> Table:
    """Renders each depth with its best learning rate; all rates stand in the JSON form."""
    columns = ("index", "parameters", "learning rate", "accuracy", "± std", "s per epoch", "gradient")
    made = table(None, "index", "trained", *columns[1:], numbers=columns)
    for depth in found.depths:
        made.add_row(
            str(depth.index),
            depth.start,
            f"{depth.parameters:,}",
            f"{depth.rate:.1e}",
            f"{depth.accuracy:.3f}" if depth.seconds else "failed",
            "" if depth.spread is None else f"{depth.spread:.3f}",
            f"{depth.seconds:.1f}",
            "" if depth.gradient is None else f"{depth.gradient:.1e}",
            style="bold" if depth in (found.best, found.suggested) else "",
        )
    return made


def suggestion_text(found: DepthSearchResult) -> list[Text]:
    """Says which depth is best, which is the shallowest that is about as good, and what the gradients would say."""
    best, shallow = found.best, found.suggested
    lines = [styled("best: ", (best.start, "bold"), f", accuracy {best.accuracy:.3f} ± {found.standard_error:.3f}")]
    if shallow == best:
        if shallow != found.depths[0]:
            lines.append(styled("no shallower depth is within a standard error of it"))
    else:
        text = f", accuracy {shallow.accuracy:.3f}; {shallow.parameters / best.parameters:.0%} of the parameters"
        lines.append(styled("shallowest within a standard error: ", (shallow.start, "bold"), text))
    return [*lines, styled("the relative gradient norm would choose: ", found.by_gradient.start)]


def reasons(found: DepthSearchResult) -> list[str]:
    """Returns why a recipe trains from the suggested depth, as comments for it."""
    return [
        f"The trained layers are those that `surgeon depth` suggests, from trials of {counted(found.epochs, 'epoch')} "
        f"and {found.images:,} validation images.",
        *(text.plain for text in suggestion_text(found)),
    ]


def draw_depths(found: DepthSearchResult, path: Path) -> None:
    """Draws accuracy over depth, with the spread over seeds, into a PNG file."""
    with plain_style("".join(depth.start for depth in found.depths)):
        depths_figure(found).savefig(path, dpi=150, format="png")


def depths_figure(found: DepthSearchResult) -> Figure:
    """Returns accuracy, and the seconds of an epoch as bars, at each depth."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    places = range(len(found.depths))
    accuracies = [depth.accuracy for depth in found.depths]
    spreads = [depth.spread or 0.0 for depth in found.depths]
    axes.errorbar(places, accuracies, spreads, marker="o", capsize=3, label="accuracy")
    below = found.best.accuracy - found.standard_error
    axes.axhline(below, color="0.6", linestyle=":", zorder=0, label="a standard error below the best")
    axes.axvline(found.depths.index(found.suggested), color="#d9480f", linestyle="--", label="suggested")
    axes.set_xticks(places, [short_label(depth.start) for depth in found.depths], rotation=60, ha="right")
    axes.set(xlabel="first trained layer", ylabel="validation accuracy")
    seconds = axes.twinx()
    bars = seconds.bar(places, [depth.seconds for depth in found.depths], color="0.85", zorder=-1)
    seconds.set_ylabel("seconds per epoch")
    axes.set_zorder(seconds.get_zorder() + 1)
    axes.patch.set_visible(False)
    bars.set_label("seconds per epoch")
    figure.legend(
        handles=[*axes.get_legend_handles_labels()[0], bars], frameon=False, loc="outside lower center", ncols=4
    )
    return figure
