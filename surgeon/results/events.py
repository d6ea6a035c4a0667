"""What a run says while it works, with its JSON form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surgeon.results.sweep import Trial


@dataclass(frozen=True)
class Progress:
    """Progress of a longer step of work.

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
    """A message for the user."""

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
    """A step, counted from 1, was made; ``steps`` has the epoch. The figures are means over the epoch so far."""

    phase: str
    epoch: int
    step: int
    steps: int
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
    """What the freeze audit proved about a phase.

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
        best_epoch: The epoch whose weights the phase ends with, if they were restored; 0 if it ends as it began.
        history: For each figure its value per epoch.
        start: ``val_loss`` and ``val_accuracy`` before the first epoch, where they count for how it ends.
        precision: What its steps were computed in.
    """

    name: str
    epochs: int
    seconds: float
    tracing_seconds: float
    trainable_parameters: int
    best_epoch: int | None
    history: Mapping[str, tuple[float, ...]]
    audit: AuditResult
    start: Mapping[str, float] = field(default_factory=dict)
    precision: str = "float32"

    def __post_init__(self) -> None:
        if {len(values) for values in self.history.values()} != {self.epochs} or self.epochs < 1:
            raise ValueError(f"history of another length than its {self.epochs} epochs")


@dataclass(frozen=True)
class TrialEnded:
    """A trial of a sweep is over.

    Attributes:
        best: The best finished trial so far, if any is.
        done: How many trials are over, in whichever state, with those of former processes.
        total: How many there will be; None if time decides that.
        seconds: Work of the sweep so far, with that of former processes.
        seconds_left: How long it will still take; None while unknown.
    """

    trial: Trial
    best: Trial | None
    done: int
    total: int | None
    seconds: float
    seconds_left: float | None


Event = Progress | Note | FeaturesKept | PhaseStarted | BatchEnded | EpochEnded | PhaseResult | TrialEnded


def event_record(event: Event) -> dict[str, Any]:
    """Returns the JSON form of an event, with its kind as ``event``."""
    return {"event": type(event).__name__, **dataclasses.asdict(event)}
