"""Results as pictures, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.results.run import Evaluation, RunResult

_TRAIN, _VALIDATION = "#1f77b4", "#d9480f"


def draw_curves(result: RunResult, path: Path | BinaryIO, form: str = "png") -> None:
    """Draws loss and accuracy over all epochs, the phases side by side, as ``png`` or ``svg``."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        start = 0
        for at, phase in enumerate(result.phases):
            epochs = np.arange(start + 1, start + phase.epochs + 1)
            if at % 2:
                axes.axvspan(start + 0.5, start + phase.epochs + 0.5, color="0.95", zorder=0)
            for series, color in ((name, _TRAIN), (f"val_{name}", _VALIDATION)):
                if series in phase.history:
                    label = {"v": "validation"}.get(series[0], "training") if at == 0 else None
                    axes.plot(epochs, phase.history[series], color=color, marker=".", label=label)
            middle = start + (phase.epochs + 1) / 2
            axes.text(middle, 1.01, phase.name, transform=axes.get_xaxis_transform(), ha="center", va="bottom")
            start += phase.epochs
        axes.set(xlabel="epoch", ylabel=name, xlim=(0.5, start + 0.5))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150, format=form, metadata={"Date": None} if form == "svg" else None)


def confusion_matrix(evaluation: Evaluation) -> NDArray[np.int64]:
    """Returns the confusion matrix: a row a true class, a column what its images were taken for."""
    matrix = np.zeros((len(evaluation.classes),) * 2, np.int64)
    labels, predicted, counts = np.array(evaluation.confusion).T
    matrix[labels, predicted] = counts
    return matrix


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draws the confusion matrix: a row a true class, shaded by the part of the row."""
    matrix = confusion_matrix(evaluation)
    parts = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    count = len(evaluation.classes)
    side = min(24.0, max(4.0, 1.8 + 0.38 * count))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(count), evaluation.classes, rotation=90)
    axes.set_yticks(range(count), evaluation.classes)
    axes.set(xlabel="predicted", ylabel="true", title=f"{evaluation.split}: accuracy {evaluation.accuracy:.3f}")
    if count <= 40:
        _write_counts(axes, matrix, parts)
    figure.savefig(path, dpi=150)


def _write_counts(axes: Any, matrix: Any, parts: Any) -> None:
    for (row, column), number in np.ndenumerate(matrix):
        if number:
            color = "white" if parts[row, column] > 0.5 else "black"
            axes.text(column, row, number, ha="center", va="center", color=color, fontsize=8)
