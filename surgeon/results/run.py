"""What a run leaves: its result, with its JSON form, and its figures by name."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from surgeon.records import record_of
from surgeon.results.events import PhaseResult

RESULT_VERSION = 2  # measures by class number; former ones, which had scikit-learn's, carried none


@dataclass(frozen=True)
class Measures:
    """How well a class was found, or an average over classes.

    Attributes:
        precision: Part of the images taken for the class that are of it, from 0 to 1.
        recall: Part of the images of the class that were taken for it, from 0 to 1.
        f1: Harmonic mean of both.
        support: Images of the class, or of all classes.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """Measures on a split. A class's number is its position in ``classes``.

    Attributes:
        accuracy: Part of the images whose class was found, from 0 to 1.
        per_class: Aligned with ``classes``; None for a class without an image.
        macro: The mean over the classes that have an image.
        weighted: The same, each class weighted by its images.
        confusion: Triples: of the class with the first number, so many images (the third) were taken for the class
            with the second number. Pairs of classes without such images are left out.
    """

    split: str
    classes: tuple[str, ...]
    accuracy: float
    per_class: tuple[Measures | None, ...]
    macro: Measures
    weighted: Measures
    confusion: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        known = range(len(self.classes))
        if len(self.per_class) != len(known) or any(i not in known or j not in known for i, j, _ in self.confusion):
            raise ValueError(f"measures of other classes than its {len(known)}")

    @property
    def measured(self) -> tuple[tuple[str, Measures], ...]:
        """The classes that have an image, with their measures."""
        named = zip(self.classes, self.per_class, strict=True)
        return tuple((name, measures) for name, measures in named if measures is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """The classes without an image."""
        return tuple(name for name, measures in zip(self.classes, self.per_class, strict=True) if measures is None)


@dataclass(frozen=True)
class FrozenResult:
    """What became of the frozen layers.

    Attributes:
        known: Images, changed copies included, whose features a former run had left.
        computed: Images that went through frozen layers to be kept.
        seconds: How long that took.
        multiply_adds: Of those passes.
        saved_multiply_adds: What the epochs would have computed again without the store, less ``multiply_adds``.
        saved_seconds: How long that would have taken, by the speed of the passes; None if that is not known.
    """

    known: int
    computed: int
    seconds: float
    multiply_adds: int
    saved_multiply_adds: int
    saved_seconds: float | None


@dataclass(frozen=True)
class Acceptance:
    """What became of images where a network rejects some.

    Attributes:
        images: Of classes that the network knows.
        accepted: So many of these.
        accuracy: Part of the accepted ones whose class was found, from 0 to 1; None if there are none.
        strangers: Images of classes that it does not know.
        rejected_strangers: So many of these were rejected.
    """

    images: int
    accepted: int
    accuracy: float | None
    strangers: int
    rejected_strangers: int


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        images: Images per split.
        frozen: What the store was good for.
        ignored: Hidden files and non-images that were passed over.
        left_out: How many photographs are not among the images, by reason.
        bad_images: The images that were left out because they cannot be decoded, with the reason.
        evaluation: The test split's measures; None without a test split.
        linear_probe: The same of a logistic regression on the frozen features, if asked for.
        acceptance: What became of the test images, if the network rejects some.
        expected: What the recipe's author measured: ``mean`` and, if known, ``std`` over other seeds.
        seconds: Wall time of the whole run; of processes that were stopped, that of the finished epochs.
        versions: Of Python and the packages that the result depends on.
    """

    name: str
    images: Mapping[str, int]
    ignored: int
    bad_images: Mapping[str, str]
    frozen: FrozenResult
    phases: tuple[PhaseResult, ...]
    evaluation: Evaluation | None
    linear_probe: Evaluation | None
    expected: Mapping[str, Mapping[str, float]]
    seconds: float
    versions: Mapping[str, str]
    left_out: Mapping[str, int] = field(default_factory=dict)  # none in the results of former releases
    acceptance: Acceptance | None = None  # as above

    def methods(self) -> dict[str, Evaluation]:
        """Returns the measures of each method that has any, by what a person calls it."""
        methods = {"network": self.evaluation, "linear probe": self.linear_probe}
        return {name: evaluation for name, evaluation in methods.items() if evaluation is not None}


@dataclass(frozen=True)
class Spread:
    """A figure of several runs of one recipe, with other seeds or on other folds."""

    mean: float
    std: float
    values: tuple[float, ...]


def spread_of(values: Sequence[float]) -> Spread:
    """Returns the spread of a figure; a single value spreads by 0."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0, tuple(values))


def result_record(result: RunResult) -> dict[str, Any]:
    """Returns the JSON form of a result, which is ``result.json``."""
    return {"version": RESULT_VERSION, **dataclasses.asdict(result)}


def run_result(record: Mapping[str, Any]) -> RunResult:
    """Returns the result whose JSON form is ``record``.

    Raises:
        ValueError: If it is not of that form.
    """
    return record_of({name: _with_measures(value) for name, value in record.items()}, RunResult)


@dataclass(frozen=True)
class _FormerEvaluation:
    """Measures as earlier releases kept them: scikit-learn's, and the whole confusion matrix."""

    split: str
    classes: tuple[str, ...]
    report: Mapping[str, Any]
    confusion: tuple[tuple[int, ...], ...]


def _with_measures(value: Any) -> Any:
    """Returns the value of a result's field; of an evaluation that an earlier release wrote the present form."""
    if not (isinstance(value, dict) and "report" in value):
        return value
    former = record_of(value, _FormerEvaluation)
    pairs = [(i, j, count) for i, row in enumerate(former.confusion) for j, count in enumerate(row)]
    return dataclasses.asdict(measure(former.split, former.classes, pairs))


def measure(split: str, classes: tuple[str, ...], confusion: Iterable[tuple[int, int, int]]) -> Evaluation:
    """Returns the measures that follow from which classes were taken for which, of one image or more.

    Args:
        split: What was measured.
        classes: Their names.
        confusion: As in ``Evaluation``.
    """
    pairs = tuple((label, predicted, count) for label, predicted, count in confusion if count)
    support, taken, right = Counter[int](), Counter[int](), Counter[int]()
    for label, predicted, count in pairs:
        support[label] += count
        taken[predicted] += count
        right[label] += count if label == predicted else 0
    per_class = tuple(
        Measures(
            precision=right[number] / taken[number] if taken[number] else 0.0,
            recall=right[number] / support[number],
            f1=2 * right[number] / (support[number] + taken[number]),
            support=support[number],
        )
        if number in support
        else None
        for number in range(len(classes))
    )
    present = [measures for measures in per_class if measures is not None]
    return Evaluation(
        split=split,
        classes=classes,
        accuracy=right.total() / support.total(),
        per_class=per_class,
        macro=_average(present, [1] * len(present)),
        weighted=_average(present, [measures.support for measures in present]),
        confusion=pairs,
    )


def _average(measured: Sequence[Measures], weights: Sequence[int]) -> Measures:
    def mean(values: Iterable[float]) -> float:
        return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)

    return Measures(
        precision=mean(measures.precision for measures in measured),
        recall=mean(measures.recall for measures in measured),
        f1=mean(measures.f1 for measures in measured),
        support=sum(measures.support for measures in measured),
    )


def result_figures(result: RunResult) -> dict[str, float | str]:
    """Returns all that a run came to, by name: figures of phases and methods, digests of weights.

    Whatever phases and classes are called, no two figures share a name.
    """
    found: dict[str, float | str] = {}
    for phase in result.phases:
        last = {name: values[-1] for name, values in phase.history.items() if name not in ("seconds", "lr")}
        found |= {f"{phase.name}, {name}": value for name, value in last.items()}
        found[f"{phase.name}, weights"] = phase.audit.digest
    found |= headline_figures(result)
    for method, evaluation in result.methods().items():
        found |= {f"{method}, class {name}, F1": measures.f1 for name, measures in evaluation.measured}
    return found


def headline_figures(result: RunResult) -> dict[str, float]:
    """Returns accuracy and averages of F1 of each method by name."""
    return {
        f"{method} {name}": figure(evaluation, name)
        for method, evaluation in result.methods().items()
        for name in ("accuracy", "macro_f1", "weighted_f1")
    }


def figure(evaluation: Evaluation, name: str) -> float:
    """Returns ``accuracy``, ``macro_f1`` or ``weighted_f1`` of an evaluation."""
    if name == "accuracy":
        return evaluation.accuracy
    return {"macro_f1": evaluation.macro, "weighted_f1": evaluation.weighted}[name].f1
