"""How well classes were found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surgeon.results.run import Evaluation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def evaluate(
    split: str,
    labels: NDArray[np.int32],
    predicted: NDArray[np.intp],
    classes: tuple[str, ...],
    *,
    only_present: bool = False,
) -> Evaluation:
    """Compares predicted class numbers with the true ones, both of shape (n,).

    With ``only_present`` classes without an image are left out of the report, and so of its averages.
    """
    from sklearn.metrics import classification_report, confusion_matrix

    numbers = list(range(len(classes)))
    told = sorted({int(label) for label in labels}) if only_present else numbers
    names = [classes[number] for number in told]
    report = classification_report(
        labels, predicted, labels=told, target_names=names, output_dict=True, zero_division=0
    )
    accuracy = float((labels == predicted).mean())
    # With classes that are missing scikit-learn writes a micro average instead.
    report.pop("micro avg", None)
    report["accuracy"] = accuracy
    matrix = confusion_matrix(labels, predicted, labels=numbers)
    return Evaluation(split, classes, accuracy, report, tuple(tuple(map(int, row)) for row in matrix))
