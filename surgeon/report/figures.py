"""Results as pictures, drawn without a display."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from surgeon.report.fonts import families_for
from surgeon.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.results.run import Evaluation, RunResult

_TRAIN, _VALIDATION = "#1f77b4", "#d9480f"
_DOTTED = 200  # epochs: more dots would run into each other
_NAMED = 100  # classes: more names would lie upon each other
_COUNTED = 40  # classes: more numbers would
_CELLS = 1000  # along a side of a matrix
_LABEL = 40  # characters of a name beside an axis


@contextmanager
def plain_style(text: str, more: Any = None) -> Iterator[None]:  # matplotlib's own type lists every key that it has
    """While entered, matplotlib draws names as they are and the same on every machine.

    What a user's matplotlibrc says does not count, text is not read as mathematics, and fonts are those that have the
    characters of ``text``. Where no font has one, a box stands for it.

    Args:
        text: What will be written besides figures.
        more: What else is set in matplotlib's ``rcParams``.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update({"text.parse_math": False, "font.family": families_for(text), **(more or {})})
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


def short_label(name: str) -> str:
    """Returns a name from outside as it is written into a picture."""
    text = printable(name)
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 3]}..."


def draw_curves(result: RunResult, path: Path) -> None:
    """Draws loss and accuracy over all epochs."""
    with plain_style("".join(phase.name for phase in result.phases)):
        figure = Figure(figsize=(10, 4), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            plot_history(axes, result, name)
        figure.savefig(path, dpi=150)


def plot_history(axes: Any, result: RunResult, name: str) -> None:
    """Plots ``loss`` or ``accuracy`` over all epochs, the phases side by side."""
    marker = "." if sum(phase.epochs for phase in result.phases) <= _DOTTED else ""
    start = 0
    for at, phase in enumerate(result.phases):
        epochs = np.arange(start + 1, start + phase.epochs + 1)
        if at % 2:
            axes.axvspan(start + 0.5, start + phase.epochs + 0.5, color="0.5", alpha=0.1, zorder=0)
        for series, color in ((name, _TRAIN), (f"val_{name}", _VALIDATION)):
            if series in phase.history:
                label = {"v": "validation"}.get(series[0], "training") if at == 0 else None
                axes.plot(epochs, phase.history[series], color=color, marker=marker, label=label)
        middle = start + (phase.epochs + 1) / 2
        title = short_label(phase.name)
        axes.text(middle, 1.01, title, transform=axes.get_xaxis_transform(), ha="center", va="bottom")
        start += phase.epochs
    axes.set(xlabel="epoch", ylabel=name, xlim=(0.5, start + 0.5))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def confusion_parts(evaluation: Evaluation) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the confusion matrix, a row a true class, and what part each cell is of its row's images.

    Beyond a thousand classes a cell stands for several that follow each other, so that there are never more cells.
    """
    block = -(-len(evaluation.classes) // _CELLS)
    side = -(-len(evaluation.classes) // block)
    matrix = np.zeros((side, side), np.int64)
    labels, predicted, counts = np.array(evaluation.confusion).T
    np.add.at(matrix, (labels // block, predicted // block), counts)
    return matrix, matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draws the confusion matrix: a row a true class, shaded by the part of the row."""
    matrix, parts = confusion_parts(evaluation)
    count = len(evaluation.classes)
    labels = [short_label(name) for name in evaluation.classes]
    with plain_style("".join(labels)):
        side = min(24.0, max(4.0, 1.8 + 0.38 * count)) if count <= _NAMED else 10
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        if count <= _NAMED:
            axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
            axes.set_xticks(range(count), labels, rotation=90)
            axes.set_yticks(range(count), labels)
        else:  # the root, so that a few images of a class are seen
            axes.imshow(parts, cmap="Blues", norm=PowerNorm(0.5, 0, 1), extent=(0, count, count, 0))
        axes.set(xlabel="predicted", ylabel="true")
        axes.set_title(f"{evaluation.split} images: accuracy {evaluation.accuracy:.3f}")
        if count <= _COUNTED:
            _write_counts(axes, matrix, parts)
        figure.savefig(path, dpi=150)


def _write_counts(axes: Any, matrix: Any, parts: Any) -> None:
    for (row, column), number in np.ndenumerate(matrix):
        if number:
            color = "white" if parts[row, column] > 0.5 else "black"
            axes.text(column, row, number, ha="center", va="center", color=color, fontsize=8)
