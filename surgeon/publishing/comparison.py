"""Runs side by side: their figures, tests of one against another, and a page that shows both."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from surgeon.errors import SurgeonError
from surgeon.evaluation.compare import mcnemar
from surgeon.publishing.pictures import find_pictures, look_at_phases, opened
from surgeon.report.comparison import Column, ComparisonPage, Disagreement, render_comparison
from surgeon.results.run import headline_figures
from surgeon.runs.differences import compare
from surgeon.runs.folder import read_predictions
from surgeon.runs.plan_file import read_run

if TYPE_CHECKING:
    from PIL import Image

    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event
    from surgeon.results.run import Evaluation, RunResult
    from surgeon.results.use import McNemar
    from surgeon.runs.folder import Predictions

_SHOWN = 200  # images that the runs see differently


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A finished run among others.

    Attributes:
        test: Against the first run; None for that, without test images, and where they are not the same.
        has_other_images: Whether it was tested on other images than the first run.
    """

    folder: Path
    plan: Plan
    result: RunResult
    tested: Predictions | None
    test: McNemar | None
    has_other_images: bool

    @property
    def figures(self) -> dict[str, float]:
        """What it came to, by name."""
        return {
            **_validated(self.result),
            **headline_figures(self.result),
            "seconds": self.result.seconds,
            "epochs": sum(phase.epochs for phase in self.result.phases),
            "parameters trained": max(phase.trainable_parameters for phase in self.result.phases),
        }


def _validated(result: RunResult) -> dict[str, float]:
    """Returns what the last phase ended with on the validation images, by which to choose; nothing without any."""
    last = result.phases[-1]
    values = last.history.get("val_accuracy")
    if not values:
        return {}
    ended = last.start["val_accuracy"] if last.best_epoch == 0 else values[(last.best_epoch or last.epochs) - 1]
    return {"validation accuracy": ended}


def read_runs(folders: Sequence[Path]) -> list[ComparedRun]:
    """Returns finished runs with what compares each with the first.

    Raises:
        UsageError: If a folder holds no run, or one that is not finished.
    """
    done = [read_run(folder) for folder in folders]
    tested = [read_predictions(folder) for folder in folders]
    answers = [{} if said is None else _answers(said) for said in tested]
    are_other = [own.keys() != answers[0].keys() for own in answers]
    tests = [_test(answers[0], own) if at and own and not are_other[at] else None for at, own in enumerate(answers)]
    return [
        ComparedRun(folder, plan, result, said, test, other)
        for folder, (plan, result), said, test, other in zip(folders, done, tested, tests, are_other, strict=True)
    ]


def write_comparison(
    runs: Sequence[ComparedRun], path: Path, together: Evaluation | None = None
) -> Generator[Event, None, None]:
    """Writes runs side by side as a page, with the measures on the images of all of them if they are folds."""
    differing, answers = _disagreements(runs)
    images = yield from _thumbnails(runs, [file for file, _ in differing[:_SHOWN]])
    shown = [
        Disagreement(file, images[file], label, answers[file, label])
        for file, label in differing[:_SHOWN]
        if file in images
    ]
    page = ComparisonPage(
        columns=[
            Column(
                str(run.folder),
                run.result,
                run.plan.network,
                look_at_phases(run.plan),
                run.figures,
                run.test,
                run.has_other_images,
            )
            for run in runs
        ],
        asked=_asked([run.plan.recipe for run in runs]),
        disagreements=shown,
        left_out=len(differing) - len(shown),
        together=together,
    )
    path.write_text(render_comparison(page), encoding="utf-8")


def _thumbnails(runs: Sequence[ComparedRun], files: Sequence[str]) -> Generator[Event, None, dict[str, Image.Image]]:
    """Returns images in small that any of the runs can show; each keeps its own mistakes."""
    found: dict[str, Image.Image] = {}
    for run in runs:
        with suppress(SurgeonError):  # a run of a former release, whose photographs are gone
            pictures = yield from find_pictures(run.plan, run.folder, [file for file in files if file not in found])
            drawn = {file: opened(pictures[file].thumbnail) for file in files if file in pictures and file not in found}
            found |= {file: small for file, small in drawn.items() if small is not None}
    return found


_Answers: TypeAlias = Mapping[tuple[str, str], tuple[str, float]]


def _answers(tested: Predictions) -> _Answers:
    """Returns the likeliest class and its probability of each test image, by the file and its label."""
    classes = tested.classes
    labelled = zip(tested.files, (classes[number] for number in tested.labels), strict=True)
    answers = (
        (classes[number], float(row[number]))
        for number, row in zip(tested.predicted, tested.probabilities, strict=True)
    )
    return dict(zip(labelled, answers, strict=True))


def _test(said: _Answers, said_by_other: _Answers) -> McNemar:
    """Tests two networks against each other that saw the same test images."""
    hits = [(said[image][0] == image[1], said_by_other[image][0] == image[1]) for image in said]
    return mcnemar([one for one, _ in hits], [two for _, two in hits])


def _disagreements(
    runs: Sequence[ComparedRun],
) -> tuple[list[tuple[str, str]], Mapping[tuple[str, str], Sequence[tuple[str, float]]]]:
    """Returns the images, as file and label, that runs with the same test images take for different classes.

    Those come first that the most runs are right about; the answers of all runs are returned with them.
    """
    answers = [_answers(run.tested) for run in runs if run.tested is not None]
    if len(answers) < len(runs) or any(own.keys() != answers[0].keys() for own in answers):
        return [], {}
    said = {image: [own[image] for own in answers] for image in answers[0]}
    differing = [image for image, own in said.items() if len({name for name, _ in own}) > 1]
    right = {image: sum(name == image[1] for name, _ in said[image]) for image in differing}
    return sorted(differing, key=lambda image: -right[image]), said


def _asked(recipes: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Returns the values that recipes differ in, by name, a value a recipe; a run does not see its sweep."""
    searched = [{key: value for key, value in recipe.items() if key != "sweep"} for recipe in recipes]
    first = searched[0]
    found: dict[str, list[Any]] = {}
    for at, recipe in enumerate(searched):
        for difference in compare({"recipe": first}, {"recipe": recipe}):
            found.setdefault(difference.name, [difference.before] * len(searched))[at] = difference.after
    return found
