"""What a run says while it works, and what it leaves: frozen events and results, with their JSON form."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import hexdigits
from typing import Any


@dataclass(frozen=True)
class Progress:
    """A step of work that a person waits for.

    Attributes:
        task: What is being done, such as ``decode images``.
        done: How many of ``total`` units are finished.
        total: How many there are, or None while nobody knows.
        unit: What is counted, such as ``images`` or ``bytes``.
    """

    task: str
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True)
class Note:
    """Something that a person should know and need not wait for."""

    text: str


@dataclass(frozen=True)
class FeaturesKept:
    """The output of frozen layers is to be kept; images that are known already are not computed.

    Attributes:
        layers: Whose output is kept.
        size: Bytes that it takes for all images.
        place: Where, and why there; it may be nowhere.
        known: Images that were kept before.
        computed: Images that go through the frozen layers now.
    """

    layers: tuple[str, ...]
    size: int
    place: str
    known: int
    computed: int


@dataclass(frozen=True)
class PhaseStarted:
    """A phase begins; ``number`` counts from 1, ``steps`` are those of one epoch."""

    phase: str
    number: int
    phases: int
    epochs: int
    steps: int
    trainable_parameters: int


@dataclass(frozen=True)
class BatchEnded:
    """A step was made; the figures are means over the epoch so far."""

    phase: str
    epoch: int
    step: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class EpochEnded:
    """An epoch, counted from 1, is over.

    Attributes:
        figures: ``loss``, ``accuracy``, ``lr`` at its end and, with validation images, ``val_loss`` and
            ``val_accuracy``.
    """

    phase: str
    epoch: int
    seconds: float
    figures: Mapping[str, float]


@dataclass(frozen=True)
class AuditResult:
    """What is proven of a phase.

    Attributes:
        frozen_layers: Layers with weights of which every variable is bit-identical to what it was before.
        trained_layers: Layers that were trained and have changed.
        unmoved: Their variables that have not, since their gradient vanished.
        digest: SHA-256 of all weights after the phase, in hexadecimal.
    """

    frozen_layers: int
    trained_layers: int
    unmoved: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class PhaseResult:
    """A finished phase.

    Attributes:
        epochs: How many were trained.
        seconds: Wall time, validation included.
        tracing_seconds: How much of that went into compiling the step.
        best_epoch: The epoch whose weights the phase ends with, if they were restored.
        history: For each figure its value an epoch.
    """

    name: str
    epochs: int
    seconds: float
    tracing_seconds: float
    trainable_parameters: int
    best_epoch: int | None
    history: Mapping[str, tuple[float, ...]]
    audit: AuditResult


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


@dataclass(frozen=True)
class ExportResult:
    """How an exported network compares with the run that it comes of, on real images in its own runtime.

    Attributes:
        format: An entry of the exporters.
        quantize: What its numbers were narrowed to, or None.
        reference: What it was compared with.
        images: How many images were compared, and of which split.
        split: Of these images.
        largest_difference: Of any probability.
        changed_decisions: Images that got another class.
        accuracy_before: Part of the images whose class the reference found, from 0 to 1.
        accuracy: The same of the exported network.
        size: Bytes of the exported network.
        seconds_an_image: Median time for one image alone, decoded already.
    """

    format: str
    quantize: str | None
    reference: str
    images: int
    split: str
    largest_difference: float
    changed_decisions: int
    accuracy_before: float
    accuracy: float
    size: int
    seconds_an_image: float


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with a probability of 95 %."""

    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """How far confidence and accuracy agree.

    Attributes:
        error: The expected calibration error, from 0 to 1.
        bins: Mean confidence, accuracy and number of images, for each tenth of confidence that has any.
        temperature: What logits would have to be divided by to agree best; above 1 the network is too sure.
        error_at_temperature: The error then.
    """

    error: float
    bins: tuple[tuple[float, float, int], ...]
    temperature: float
    error_at_temperature: float


@dataclass(frozen=True)
class ClassCurve:
    """Precision over recall of a class against all others, with the average precision."""

    name: str
    average_precision: float
    recall: tuple[float, ...]
    precision: tuple[float, ...]


@dataclass(frozen=True)
class McNemar:
    """Two networks on the same images.

    Attributes:
        only_first: Images that only the first network got right.
        only_second: Images that only the second one got right.
        p_value: How probable a difference of at least this is, were the two equally good.
    """

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class OtherData:
    """A network measured on images that its run did not know.

    Attributes:
        evaluation: Over the classes that have an image.
        images: How many were measured.
        unknown: Classes that the network does not know, with how many images were left out for that.
        missing: Classes of the network without an image.
        bad_images: The images that cannot be decoded, with the reason.
    """

    evaluation: Evaluation
    images: int
    unknown: Mapping[str, int]
    missing: tuple[str, ...]
    bad_images: Mapping[str, str]


@dataclass(frozen=True)
class Prediction:
    """What a network takes an image for.

    Attributes:
        file: The image, as it was given.
        classes: The likeliest class first.
        probabilities: Theirs, from 0 to 1.
        reason: Why the image could not be read, if it could not; then there are no classes.
    """

    file: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    reason: str | None = None


SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """Something about the images that a person should know before a run.

    Attributes:
        kind: A stable name, such as ``leak``.
        severity: One of ``SEVERITIES``; an error makes a run fail or its measures wrong.
        files: The images that it is about, as their source names them; none if it is about all.
        message: What was found, with some of the files, and what to do about it.
    """

    kind: str
    severity: str
    files: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Difference:
    """A value that differs between two runs, recipes or results.

    Attributes:
        part: What it belongs to, such as ``recipe`` or ``images``.
        name: Which value of it, such as a path or a file.
        before: The value, a digest for what is large; None if there was none.
        after: The same of the other.
    """

    part: str
    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        name = " ".join(filter(None, [self.part, self.name]))
        if self.before is None:
            return f"{name}: {short_value(self.after)} is new"
        if self.after is None:
            return f"{name}: {short_value(self.before)} is gone"
        return f"{name}: was {short_value(self.before)}, is {short_value(self.after)}"


def short_value(value: Any) -> str:
    """Returns a value as JSON, and of a SHA-256 the beginning; nothing for None."""
    if value is None:
        return ""
    is_digest = isinstance(value, str) and len(value) == 64 and not set(value) - set(hexdigits)
    return f"{value[:12]}..." if is_digest else json.dumps(value, ensure_ascii=False)


Event = Progress | Note | FeaturesKept | PhaseStarted | BatchEnded | EpochEnded | PhaseResult


def event_record(event: Event) -> dict[str, Any]:
    """Returns the JSON form of an event, with its kind as ``event``."""
    return {"event": type(event).__name__, **dataclasses.asdict(event)}


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


def phase_result(record: Mapping[str, Any]) -> PhaseResult:
    """Returns the phase's result whose JSON form is ``record``."""
    history = {name: tuple(values) for name, values in record["history"].items()}
    audit = AuditResult(**{**record["audit"], "unmoved": tuple(record["audit"]["unmoved"])})
    return PhaseResult(**{**record, "history": history, "audit": audit})


def _evaluation(record: Mapping[str, Any]) -> Evaluation:
    confusion = tuple(map(tuple, record["confusion"]))
    return Evaluation(**{**record, "classes": tuple(record["classes"]), "confusion": confusion})


def result_figures(record: Mapping[str, Any]) -> dict[str, float | str]:
    """Returns all that a run came to, by name: figures of phases and methods, digests of weights.

    Args:
        record: The JSON form of a result.
    """
    found: dict[str, float | str] = {}
    for phase in record["phases"]:
        last = {name: values[-1] for name, values in phase["history"].items() if name not in ("seconds", "lr")}
        found |= {f"{phase['name']}, {name}": value for name, value in last.items()}
        found[f"{phase['name']}, weights"] = phase["audit"]["digest"]
    for method, evaluation in (("network", record["evaluation"]), ("linear probe", record["linear_probe"])):
        if evaluation is not None:
            found[f"{method}, accuracy"] = evaluation["accuracy"]
            found |= {
                f"{method}, F1 of {label}": measures["f1-score"]
                for label, measures in evaluation["report"].items()
                if isinstance(measures, Mapping)
            }
    return found


def headline_figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns accuracy and averages of F1 of each method by name, from the JSON form of a result."""
    methods = {"network": record["evaluation"], "linear probe": record["linear_probe"]}
    return {
        f"{method} {name}": figure(_evaluation(evaluation), name)
        for method, evaluation in methods.items()
        if evaluation is not None
        for name in ("accuracy", "macro_f1", "weighted_f1")
    }


def predictions_of(
    files: Sequence[str],
    classes: Sequence[str],
    probabilities: Sequence[Sequence[float]],
    bad: Mapping[int, str],
    top: int,
) -> list[Prediction]:
    """Returns the ``top`` likeliest classes of each image, or why it could not be read."""
    predictions = []
    for at, (file, row) in enumerate(zip(files, probabilities, strict=True)):
        order = [] if at in bad else sorted(range(len(classes)), key=lambda number: -row[number])[:top]
        predictions.append(
            Prediction(file, tuple(classes[n] for n in order), tuple(row[n] for n in order), bad.get(at))
        )
    return predictions


def figure(evaluation: Evaluation, name: str) -> float:
    """Returns ``accuracy``, ``macro_f1`` or ``weighted_f1`` of an evaluation."""
    if name == "accuracy":
        return evaluation.accuracy
    return float(evaluation.report[f"{name.removesuffix('_f1')} avg"]["f1-score"])
