"""A run as one page that needs nothing else: ``report.html``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surgeon.report.charts import (
    CURVES,
    draw_chart,
    draw_history,
    draw_matrix,
    plot_precision_recall,
    plot_reliability,
)
from surgeon.report.drawing import Phase, draw_phase
from surgeon.report.figures import confusion_parts
from surgeon.report.markup import embed_picture, embed_thumbnails, render
from surgeon.report.results import acceptance_lines, averages_text, frozen_text
from surgeon.results.run import figure
from surgeon.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image

    from surgeon.recipe.network import Network
    from surgeon.results.run import Evaluation, RunResult
    from surgeon.results.use import Calibration, ClassCurve, Interval

_SPLITS = {"train": "training", "validation": "validation", "test": "test"}
_CELLS = 100  # classes whose confusion matrix is shown cell by cell
_PAIRS = 100  # of classes, where there are more of them
_TOLD = 12  # mistakes, and doubts


@dataclass(frozen=True, eq=False)
class Shown:
    """A test image on the page.

    Attributes:
        file: Its name in its source.
        thumbnail: The image, small.
        label: Its true class.
        predicted: What the network took it for.
        probability: How sure the network was, from 0 to 1.
        explanation: Where it saw that class, laid over the image; None for most.
    """

    file: str
    thumbnail: Image
    label: str
    predicted: str
    probability: float
    explanation: Image | None

    @property
    def is_right(self) -> bool:
        """Whether the network found the class."""
        return self.label == self.predicted


@dataclass(frozen=True, eq=False)
class Page:
    """All that the page shows.

    Attributes:
        description: The recipe's.
        recipe: Its text, as it was resolved.
        versions: Releases and machine, from the lock, each as text.
        counts: How many images each class has in each split.
        notes: What the run said on its way.
        intervals: Of the test's figures, by name; empty without a test.
        shown: Test images, all or the most telling ones.
        left_out: How many test images are not shown.
        method: ``grad-cam`` or ``occlusion``: how mistakes are explained.
    """

    result: RunResult
    description: str
    recipe: str
    versions: Sequence[str]
    counts: Mapping[str, Mapping[str, int]]
    notes: Sequence[str]
    network: Network
    phases: Sequence[Phase]
    calibration: Calibration | None
    intervals: Mapping[str, Interval]
    curves: Sequence[ClassCurve]
    shown: Sequence[Shown]
    left_out: int
    method: str


def render_page(page: Page) -> str:
    """Returns the page as HTML with everything in it, pictures and script included."""
    result, evaluation = page.result, page.result.evaluation
    thumbnails = embed_thumbnails(shown.thumbnail for shown in page.shown)
    shown = list(zip(page.shown, thumbnails, strict=False))
    mistakes = sorted((one for one in shown if not one[0].is_right), key=lambda one: -one[0].probability)
    doubts = sorted((one for one in shown if one[0].is_right), key=lambda one: one[0].probability)
    return render(
        "run.html.j2",
        title=result.name,
        page=page,
        result=result,
        evaluation=evaluation,
        splits={split: name for split, name in _SPLITS.items() if split in result.images},
        frozen=frozen_text(result.frozen),
        figures=_figures(page),
        images=_images(result.images),
        strips=[draw_phase(page.network, phase) for phase in page.phases],
        cut=page.network.cut_row,
        curves=draw_history(result),
        reliability=page.calibration and draw_chart(plot_reliability, page.calibration),
        precision_recall=draw_chart(plot_precision_recall, page.curves) if page.curves else None,
        drawn_curves=min(len(page.curves), CURVES),
        measures=_measures(evaluation, result.linear_probe) if evaluation else {},
        averages=averages_text(evaluation) if evaluation else None,
        acceptance=acceptance_lines(result.acceptance) if result.acceptance else [],
        confusion=_confusion(evaluation) if evaluation else {},
        shown=shown,
        left_out=page.left_out + len(page.shown) - len(shown),
        numbers={name: number for number, name in enumerate(evaluation.classes)} if evaluation else {},
        mistakes=_explained(mistakes[:_TOLD]),
        doubts=_explained(doubts[:_TOLD]),
    )


def _explained(shown: Sequence[tuple[Shown, str]]) -> list[tuple[Shown, str, str | None]]:
    """Returns images and their thumbnails with their explanations, as far as they have any."""
    return [(one, thumbnail, embed_picture(one.explanation) if one.explanation else None) for one, thumbnail in shown]


def _measures(evaluation: Evaluation, probe: Evaluation | None) -> dict[str, Any]:
    """Returns the table of the classes, those of the linear probe beside them, with the averages at its foot."""
    averages = [("macro avg", evaluation.macro), ("weighted avg", evaluation.weighted)]
    beside = [row.f1 for _, row in probe.measured] + [probe.macro.f1, probe.weighted.f1] if probe else None
    rows = []
    for at, (name, row) in enumerate([*evaluation.measured, *averages]):
        parts = [row.precision, row.recall, row.f1, *([beside[at]] if beside else [])]
        rows.append([name, *(f"{part:.2f}" for part in parts), row.support])
    columns = ["class", "precision", "recall", "F1", *(["F1, linear probe"] if beside else []), "images"]
    return {"columns": columns, "rows": rows[:-2], "foot": rows[-2:]}


def _confusion(evaluation: Evaluation) -> dict[str, Any]:
    """Returns which classes were taken for which, as the page shows it: each cell, or a picture and the worst pairs."""
    matrix, parts = confusion_parts(evaluation)
    names = [printable(name) for name in evaluation.classes]
    if len(names) <= _CELLS:
        return {"names": names, "rows": matrix.tolist(), "parts": parts.tolist()}
    mistakes = [(label, predicted, count) for label, predicted, count in evaluation.confusion if label != predicted]
    pairs = [
        {"label": label, "predicted": predicted, "count": count, "of": measures.support}
        for label, predicted, count in sorted(mistakes, key=lambda mistake: -mistake[2])[:_PAIRS]
        if (measures := evaluation.per_class[label])
    ]
    return {"names": names, "picture": draw_matrix(parts), "pairs": pairs, "all_pairs": len(mistakes)}


def _images(counts: Mapping[str, int]) -> str:
    told = [f"{counts[split]:,} {word}" for split, word in _SPLITS.items() if split in counts]
    return f"{', '.join(told)} images"


def _figures(page: Page) -> list[dict[str, Any]]:
    """Returns the headline: each figure with its interval, and what the other method and the author have."""
    result, found = page.result, []
    if result.evaluation is None:
        return []
    titles = {"accuracy": "Accuracy", "weighted_f1": "Weighted F1", "macro_f1": "Macro F1"}
    for name, title in titles.items():
        beside = []
        if result.linear_probe is not None:
            beside.append(f"linear probe {figure(result.linear_probe, name):.3f}")
        if name in result.expected:
            beside.append(f"expected {result.expected[name]['mean']:.3f}")
        interval = page.intervals[name]
        found.append(
            {
                "title": title,
                "value": f"{figure(result.evaluation, name):.3f}",
                "notes": [f"95 % interval {interval.low:.3f} to {interval.high:.3f}", ", ".join(beside)],
            }
        )
    return found
