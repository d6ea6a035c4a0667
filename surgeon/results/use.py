"""What a trained network came to in use: predictions, exports, tests, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from surgeon.results.run import Acceptance, Evaluation


@dataclass(frozen=True)
class ExportResult:
    """How an exported network compares with the run that it comes of, on images in its own runtime.

    Attributes:
        format: An entry of the exporters.
        quantize: What its numbers were narrowed to, or None.
        reference: What it was compared with.
        images: How many images were compared, and of which split.
        split: Of these images.
        largest_difference: Of any probability.
        changed_decisions: Images that got another class.
        accuracy_before: Part of the images whose class the reference found, from 0 to 1; None for synthetic images.
        accuracy: The same of the exported network.
        size: Bytes of the exported network.
        seconds_per_image: Median time for one image alone, decoded already.
    """

    format: str
    quantize: str | None
    reference: str
    images: int
    split: str
    largest_difference: float
    changed_decisions: int
    accuracy_before: float | None
    accuracy: float | None
    size: int
    seconds_per_image: float


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
        evaluation: Of the images whose class the network knows; None if there are none.
        images: How many were measured.
        acceptance: What became of the images, if the network rejects some; then those of classes that it does not know
            were looked at, too.
        unknown: Classes that the network does not know, with how many images are of them.
        missing: Classes of the network without an image.
        bad_images: The images that cannot be read or decoded, with the reason.
        left_out: The names of photographs that were not among the images, by reason.
        trained_on: How many of those that were measured the run was trained on, so that the figures are too good.
    """

    evaluation: Evaluation | None
    acceptance: Acceptance | None
    images: int
    trained_on: int
    unknown: Mapping[str, int]
    missing: tuple[str, ...]
    bad_images: Mapping[str, str]
    left_out: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Prediction:
    """What a network takes an image for.

    Attributes:
        file: The image, as it was given.
        classes: The likeliest class first.
        probabilities: Theirs, from 0 to 1.
        reason: Why the image could not be read, if it could not; then there are no classes.
        unknown: Why it is rejected, if it is: then it is of none of the classes, as far as the network knows.
    """

    file: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    reason: str | None = None
    unknown: str | None = None


def predictions_of(
    files: Sequence[str],
    classes: Sequence[str],
    probabilities: Sequence[Sequence[float]],
    bad: Mapping[int, str],
    unknown: Mapping[int, str],
    top: int,
) -> list[Prediction]:
    """Returns the ``top`` likeliest classes of each image, or why it could not be read or is rejected."""
    predictions = []
    for at, (file, row) in enumerate(zip(files, probabilities, strict=True)):
        order = [] if at in bad else sorted(range(len(classes)), key=lambda number: -row[number])[:top]
        predictions.append(
            Prediction(
                file, tuple(classes[n] for n in order), tuple(row[n] for n in order), bad.get(at), unknown.get(at)
            )
        )
    return predictions
