"""What a run will compute, keep and take; ``surgeon plan`` shows it, and its JSON form has the same fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where tensors are kept.

    Attributes:
        kind: ``disk``, ``memory`` or ``nowhere``.
        reason: Why there, as the rest of a sentence: "on disk, for the next runs too".
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class KeptTensor:
    """A tensor that is computed once per image.

    Attributes:
        layer: Whose output it is; None for the decoded image.
        shape: Without the batch.
    """

    layer: str | None
    shape: tuple[int, ...]
    bytes_per_image: int


@dataclass(frozen=True)
class PassForecast:
    """Frozen layers that images go through once.

    Attributes:
        before_phase: Number of the phase that begins after it, from 1.
        kept: What it computes.
        images: How many images and changed copies.
        views: How many changed copies of each training image are among these.
        bytes: That all tensors of all images take.
        dtype: Of the numbers that are kept.
        place: Where they are kept; nowhere means that there is no pass after all.
        multiply_adds: For all images.
        seconds: For all images.
    """

    before_phase: int
    kept: tuple[KeptTensor, ...]
    images: int
    views: int
    bytes: int
    dtype: str
    place: Place
    multiply_adds: int
    seconds: float


@dataclass(frozen=True)
class PhaseForecast:
    """What a phase trains, and what its epochs take.

    Attributes:
        lr: The learning rate or its schedule, as a recipe has it on one line.
        trained: Parameters that are trained.
        frozen: All others.
        epochs: At most so many.
        may_stop_early: Whether it may be fewer.
        steps: Of all epochs.
        starts_from: What an epoch reads of each image.
        changed_every_epoch: Whether that is the decoded image, changed at random each time.
        multiply_adds_per_epoch: Of an epoch's training.
        seconds_per_epoch: Of an epoch's training and validation.
        seconds: Of all epochs.
    """

    name: str
    optimizer: str
    lr: str
    trained: int
    frozen: int
    epochs: int
    may_stop_early: bool
    steps: int
    starts_from: tuple[KeptTensor, ...]
    changed_every_epoch: bool
    multiply_adds_per_epoch: int
    seconds_per_epoch: float
    seconds: float


@dataclass(frozen=True)
class ExpectedSeconds:
    """What a run takes, without decoding, starting TensorFlow and fitting the linear probe.

    Attributes:
        passes: All passes together.
        epochs: All epochs of all phases together.
        evaluation: To measure the test images and to gather the linear probe's features.
        all: The whole run.
    """

    passes: float
    epochs: float
    evaluation: float
    all: float


@dataclass(frozen=True)
class ViewsForecast:
    """What the run would take with so many kept copies of each training image instead of new ones every epoch.

    Attributes:
        views: How many; 0 if nothing else changes the images.
        without: Augmentations that it would have to do without, since they mix the images of a batch.
    """

    views: int
    seconds: float
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What a whole run will compute, keep and take, if nothing is kept from former runs.

    Attributes:
        with_views: None where changed copies are kept, or could not be.
        notes: What is to be said about this machine.
    """

    passes: tuple[PassForecast, ...]
    phases: tuple[PhaseForecast, ...]
    expected_seconds: ExpectedSeconds
    with_views: ViewsForecast | None
    notes: tuple[str, ...]
