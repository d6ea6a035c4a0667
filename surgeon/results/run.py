"""What a run leaves: its result, with its JSON form, and its figures by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surgeon.results.events import PhaseResult, phase_result


@dataclass(frozen=True)
class Evaluation:
    """Measures on a split.

    Attributes:
        accuracy: Part of the images whose class was found, from 0 to 1.
        report: scikit-learn's ``classification_report`` as a mapping.
        confusion: ``confusion[i][j]`` images of class i were taken for class j.
    """

    split: str
    classes: tuple[str, ...]
    accuracy: float
    report: Mapping[str, Any]
    confusion: tuple[tuple[int, ...], ...]


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
class RunResult:
    """What a run came to.

    Attributes:
        images: Images a split.
        frozen: What the store was good for.
        ignored: Hidden files and non-images that were passed over.
        bad_images: The images that were left out because they cannot be decoded, with the reason.
        evaluation: The test split's measures; None without a test split.
        linear_probe: The same of a logistic regression on the frozen features, if asked for.
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

    def methods(self) -> dict[str, Evaluation]:
        """Returns the measures of each method that has any, by what a person calls it."""
        methods = {"network": self.evaluation, "linear probe": self.linear_probe}
        return {name: evaluation for name, evaluation in methods.items() if evaluation is not None}


@dataclass(frozen=True)
class Spread:
    """A figure of runs that differ in their seed."""

    mean: float
    std: float
    values: tuple[float, ...]


def result_record(result: RunResult) -> dict[str, Any]:
    """Returns the JSON form of a result, which is ``result.json``."""
    return dataclasses.asdict(result)


def run_result(record: Mapping[str, Any]) -> RunResult:
    """Returns the result whose JSON form is ``record``."""
    methods = {
        name: None if record[name] is None else _evaluation(record[name]) for name in ("evaluation", "linear_probe")
    }
    phases = tuple(phase_result(phase) for phase in record["phases"])
    return RunResult(**{**record, **methods, "frozen": FrozenResult(**record["frozen"]), "phases": phases})


def _evaluation(record: Mapping[str, Any]) -> Evaluation:
    confusion = tuple(map(tuple, record["confusion"]))
    return Evaluation(**{**record, "classes": tuple(record["classes"]), "confusion": confusion})


def result_figures(result: RunResult) -> dict[str, float | str]:
    """Returns all that a run came to, by name: figures of phases and methods, digests of weights."""
    found: dict[str, float | str] = {}
    for phase in result.phases:
        last = {name: values[-1] for name, values in phase.history.items() if name not in ("seconds", "lr")}
        found |= {f"{phase.name}, {name}": value for name, value in last.items()}
        found[f"{phase.name}, weights"] = phase.audit.digest
    for method, evaluation in result.methods().items():
        found[f"{method}, accuracy"] = evaluation.accuracy
        found |= {
            f"{method}, F1 of {label}": measures["f1-score"]
            for label, measures in evaluation.report.items()
            if isinstance(measures, Mapping)
        }
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
    return float(evaluation.report[f"{name.removesuffix('_f1')} avg"]["f1-score"])
