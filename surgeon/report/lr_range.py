"""A learning-rate range test, as text and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from surgeon.report.figures import plain_style, short_label
from surgeon.report.terminal import styled
from surgeon.results.lr_range import STILL_FALLS

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from surgeon.results.lr_range import LrRangeResult


_KEEP = ", as after a good start; keep the recipe's rate, or compare some in a sweep"
_ADVICE = {STILL_FALLS: "; try that one, or a higher one"}


def suggestion_text(result: LrRangeResult) -> Text:
    """Says which rate is suggested, and why."""
    if result.suggested is None:
        why = f": the smoothed loss {result.obstacle}{_ADVICE.get(str(result.obstacle), _KEEP)}"
        return styled("no learning rate is suggested for phase ", (result.phase, "bold"), why)
    return styled(
        "suggested learning rate of phase ",
        (result.phase, "bold"),
        ": ",
        (f"{result.suggested:.1e}", "bold"),
        f", a tenth of {result.lowest:.1e}, where the smoothed loss is lowest",
    )


def draw_lr_range(result: LrRangeResult, path: Path) -> None:
    """Draws the loss over the learning rate into a PNG file."""
    with plain_style(result.phase):
        lr_range_figure(result).savefig(path, dpi=150, format="png")


def lr_range_figure(result: LrRangeResult) -> Figure:
    """Returns the loss over the learning rate, as it is and smoothed, with the suggestion."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(result.rates, result.losses, ".", color="0.7", label="per step")
    axes.plot(result.rates, result.smoothed, label="smoothed")
    if result.suggested is not None:
        axes.axvline(result.suggested, color="#d9480f", linestyle="--", label=f"suggested: {result.suggested:.1e}")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    least, most = min(result.smoothed), max(result.smoothed)
    axes.set_ylim(least - 0.1 * (most - least), most + 0.3 * (most - least))
    axes.set(xlabel="learning rate", ylabel="loss", title=short_label(result.phase))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
