"""Runs side by side as one page that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from surgeon.report.classes import confusion_matrix, measures_table
from surgeon.report.drawing import Phase, draw_phase
from surgeon.report.history import draw_histories
from surgeon.report.markup import embed_thumbnails, render
from surgeon.report.results import comparison_rows, other_images_text
from surgeon.results.findings import short_value

if TYPE_CHECKING:
    from PIL.Image import Image

    from surgeon.recipe.network import Network
    from surgeon.results.run import Evaluation, RunResult
    from surgeon.results.use import McNemar


@dataclass(frozen=True, eq=False)
class Column:
    """A run on the page.

    Attributes:
        name: Its folder.
        figures: What it came to, by name.
        test: Against the first run; None for that one, and where the test images are not the same.
        has_other_images: Whether it was tested on other images than the first run.
    """

    name: str
    result: RunResult
    network: Network
    phases: Sequence[Phase]
    figures: Mapping[str, float]
    test: McNemar | None
    has_other_images: bool

    @property
    def title(self) -> str:
        """The name of its folder, without those around it."""
        return PurePath(self.name).name


@dataclass(frozen=True, eq=False)
class Disagreement:
    """A test image that the runs take for different classes.

    Attributes:
        file: Its name in its source.
        thumbnail: The image, small.
        label: Its true class.
        answers: For each run the class that it named and how sure it was, from 0 to 1.
    """

    file: str
    thumbnail: Image
    label: str
    answers: Sequence[tuple[str, float]]

    @property
    def pattern(self) -> str:
        """Which runs were right, in words."""
        right = [str(number) for number, (name, _) in enumerate(self.answers, start=1) if name == self.label]
        return f"only {' and '.join(right)} right" if right else "none right"


@dataclass(frozen=True, eq=False)
class ComparisonPage:
    """All that the page shows.

    Attributes:
        columns: The runs.
        asked: What their recipes ask for differently: a value per run, by the value's name.
        disagreements: Test images; none where they are not the same for all runs.
        left_out: How many more there are.
        together: The measures on the images of all runs of a cross-validation, each tested by the one that did not see
            it; None of other runs.
    """

    columns: Sequence[Column]
    asked: Mapping[str, Sequence[Any]]
    disagreements: Sequence[Disagreement]
    left_out: int
    together: Evaluation | None


def render_comparison(page: ComparisonPage) -> str:
    """Returns the page as HTML with everything in it, pictures and script included."""
    columns = page.columns
    thumbnails = embed_thumbnails(image.thumbnail for image in page.disagreements)
    shown = list(zip(page.disagreements, thumbnails, strict=False))
    names = [f"run {number}" for number, _ in enumerate(columns, start=1)]
    return render(
        "comparison.html.j2",
        title=f"{len(columns)} runs of {' and '.join(dict.fromkeys(column.result.name for column in columns))}",
        page=page,
        runs=names,
        warning=None if page.together else other_images_text(names, [column.has_other_images for column in columns]),
        figures=comparison_rows([column.figures for column in columns], [column.test for column in columns]),
        asked=[(name, *map(short_value, values)) for name, values in page.asked.items()],
        histories=draw_histories([column.result for column in columns]),
        strips=[[draw_phase(column.network, phase) for phase in column.phases] for column in columns],
        classes=_classes([column.result for column in columns]),
        measures=page.together and measures_table(page.together, None),
        confusion=page.together and confusion_matrix(page.together),
        shown=shown,
        left_out=page.left_out + len(page.disagreements) - len(shown),
        patterns=Counter(image.pattern for image, _ in shown).most_common(),
    )


def _classes(results: Sequence[RunResult]) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Returns for each class its F1 in each run, and whether that is the best; empty where a run has no such class."""
    measured = [dict(result.evaluation.measured) if result.evaluation else {} for result in results]
    rows = []
    for name in dict.fromkeys(name for own in measured for name in own):
        cells = [f"{own[name].f1:.2f}" if name in own else "" for own in measured]
        rows.append((name, [(text, text == max(cells) != min(cells)) for text in cells]))
    return rows
