"""Charts that are part of a page, as addresses for ``chart`` of ``parts.html.j2``.

They are drawn in dark ink on nothing; ``style.css`` makes that light ink in dark surroundings.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
from matplotlib import colormaps
from matplotlib.figure import Figure

from surgeon.report.figures import plain_style, short_label
from surgeon.report.markup import embed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.results.use import Calibration, ClassCurve

CURVES = 50  # of precision over recall
_BLUE, _RED, _GREEN = "#2563a8", "#c2410c", "#4d7c0f"
_INK = "#22313f"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "surgeon",
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "Helvetica", "Arial", "DejaVu Sans"],
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": "0.6",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_chart(plot: Callable[..., None], *shown: Any) -> str:
    """Returns a chart as the address of a picture.

    The browser writes its text, so names need no font of this machine.

    Args:
        plot: Takes matplotlib's axes and ``shown``.
        *shown: What it plots.
    """
    buffer = io.BytesIO()
    with plain_style("", _STYLE):
        figure = Figure(figsize=(4.2, 4), layout="constrained")
        plot(figure.subplots(), *shown)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return embed("svg+xml", buffer.getvalue())


def plot_reliability(axes: Any, calibration: Calibration) -> None:
    """Plots how often a network is right over how sure it is, a dot for each tenth, the larger the more images."""
    most = max(count for _, _, count in calibration.bins)
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
    for confidence, accuracy, count in calibration.bins:
        axes.plot([confidence, confidence], [confidence, accuracy], color=_RED, linewidth=1)
        axes.scatter(confidence, accuracy, s=20 + 180 * count / most, color=_BLUE, alpha=0.8, zorder=3)
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="confidence", ylabel="accuracy", aspect="equal")


def plot_precision_recall(axes: Any, curves: Sequence[ClassCurve]) -> None:
    """Plots precision over recall of the classes with the least average precision, three of them in colours."""
    worst = sorted(curves, key=lambda curve: curve.average_precision)[:CURVES]
    for curve in worst[3:]:
        axes.plot(curve.recall, curve.precision, color="0.8", linewidth=1, drawstyle="steps-post")
    for curve, color in zip(worst, (_RED, _BLUE, _GREEN), strict=False):
        label = f"{curve.average_precision:.3f} {short_label(curve.name)}"  # a label that begins with _ is not shown
        axes.plot(curve.recall, curve.precision, color=color, linewidth=1.5, label=label, drawstyle="steps-post")
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="recall", ylabel="precision", aspect="equal")
    axes.legend(frameon=False, loc="lower left", title="average precision of the worst", alignment="left")


def draw_matrix(parts: NDArray[np.float64]) -> str:
    """Returns a matrix of numbers from 0 to 1 as a picture with a dot for each: the darker, the more."""
    shades = np.round(255 * np.sqrt(parts)).astype(np.uint8)  # the root, so that a few images of a class are seen
    palette = np.round(255 * colormaps["Blues"](np.arange(256))[:, :3]).astype(np.uint8)
    picture = PIL.Image.fromarray(shades).convert("P")
    picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return embed("png", buffer.getvalue())
