"""How well each class was found, and what it was taken for, as pages show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surgeon.report.charts import draw_matrix
from surgeon.report.figures import confusion_parts
from surgeon.text import printable

if TYPE_CHECKING:
    from surgeon.results.run import Evaluation

_CELLS = 100  # classes whose confusion matrix is shown cell by cell
_PAIRS = 100  # of classes, where there are more of them


def measures_table(evaluation: Evaluation, probe: Evaluation | None) -> dict[str, Any]:
    """Returns the table of the classes, those of the linear probe beside them, with the averages at its foot."""
    averages = [("macro avg", evaluation.macro), ("weighted avg", evaluation.weighted)]
    beside = [row.f1 for _, row in probe.measured] + [probe.macro.f1, probe.weighted.f1] if probe else None
    rows = []
    for at, (name, row) in enumerate([*evaluation.measured, *averages]):
        parts = [row.precision, row.recall, row.f1, *([beside[at]] if beside else [])]
        rows.append([name, *(f"{part:.2f}" for part in parts), row.support])
    columns = ["class", "precision", "recall", "F1", *(["F1, linear probe"] if beside else []), "images"]
    return {"columns": columns, "rows": rows[:-2], "foot": rows[-2:]}


def confusion_matrix(evaluation: Evaluation) -> dict[str, Any]:
    """Returns which classes were taken for which, as the page shows it: each cell, or a picture and the worst pairs."""
    matrix, parts = confusion_parts(evaluation)
    names = [printable(name) for name in evaluation.classes]
    if len(names) <= _CELLS:
        rates = [(row.precision, row.recall) if row else (None, None) for row in evaluation.per_class]
        precisions, recalls = zip(*rates, strict=True)
        cells = {"rows": matrix.tolist(), "parts": parts.tolist()}
        return {"names": names, **cells, "precisions": precisions, "recalls": recalls}
    mistakes = [(label, predicted, count) for label, predicted, count in evaluation.confusion if label != predicted]
    pairs = [
        {"label": label, "predicted": predicted, "count": count, "of": measures.support}
        for label, predicted, count in sorted(mistakes, key=lambda mistake: -mistake[2])[:_PAIRS]
        if (measures := evaluation.per_class[label])
    ]
    return {"names": names, "picture": draw_matrix(parts), "pairs": pairs, "all_pairs": len(mistakes)}
