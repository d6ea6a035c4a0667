"""A run as one page that needs nothing else: ``report.html``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surgeon.report.charts import (
    CURVES,
    draw_chart,
    plot_precision_recall,
    plot_reliability,
)
from surgeon.report.classes import confusion_matrix, measures_table
from surgeon.report.drawing import Phase, draw_phase
from surgeon.report.history import draw_histories
from surgeon.report.markup import embed_picture, embed_thumbnails, render
from surgeon.report.results import acceptance_lines, averages_text, frozen_text
from surgeon.report.verdict import verdict
from surgeon.results.run import figure

if TYPE_CHECKING:
    from PIL.Image import Image

    from surgeon.recipe.network import Network
    from surgeon.results.run import RunResult
    from surgeon.results.use import Calibration, ClassCurve, Interval

_SPLITS = {"train": "training", "validation": "validation", "test": "test"}
TOLD = 12  # mistakes, and doubts, that are shown large


@dataclass(frozen=True, eq=False)
class Shown:
    """A test image on the page.

    Attributes:
        file: Its name in its source.
        picture: The image, not very large.
        label: Its true class.
        predicted: What the network took it for.
        probability: How sure the network was, from 0 to 1.
        explanation: Where it saw that class, laid over the image; None for most.
    """

    file: str
    picture: Image
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
        recipe: Its text, as short as it can be.
        resolved: Its text, with all defaults.
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
    resolved: str
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
    thumbnails = embed_thumbnails(shown.picture for shown in page.shown)
    shown = list(zip(page.shown, thumbnails, strict=False))
    mistakes = sorted((one for one in page.shown if not one.is_right), key=lambda one: -one.probability)
    doubts = sorted((one for one in page.shown if one.is_right), key=lambda one: one.probability)
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
        histories=draw_histories([result])[0],
        reliability=page.calibration and draw_chart(plot_reliability, page.calibration),
        precision_recall=draw_chart(plot_precision_recall, page.curves) if page.curves else None,
        drawn_curves=min(len(page.curves), CURVES),
        measures=measures_table(evaluation, result.linear_probe) if evaluation else {},
        verdict=" ".join(verdict(result)),
        averages=averages_text(evaluation) if evaluation else None,
        acceptance=acceptance_lines(result.acceptance) if result.acceptance else [],
        confusion=confusion_matrix(evaluation) if evaluation else {},
        shown=shown,
        left_out=page.left_out + len(page.shown) - len(shown),
        numbers={name: number for number, name in enumerate(evaluation.classes)} if evaluation else {},
        mistakes=_explained(mistakes[:TOLD]),
        doubts=_explained(doubts[:TOLD]),
    )


def _explained(shown: Sequence[Shown]) -> list[tuple[Shown, str, str | None]]:
    """Returns images and their pictures with their explanations, as far as they have any."""
    return [
        (one, embed_picture(one.picture), embed_picture(one.explanation) if one.explanation else None) for one in shown
    ]


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
                "notes": [f"95% interval {interval.low:.3f} to {interval.high:.3f}", ", ".join(beside)],
            }
        )
    return found
