"""A compiled recipe: every name resolved, every default filled in, nothing left to decide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surgeon.recipe.network import HeadLayer, Network


@dataclass(frozen=True)
class Choice:
    """An entry of the catalogue by its name, with complete parameters."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class SplitPlan:
    """Which part of the images, between 0 and 1, is held out; a source's own splits come first."""

    test: float
    validation: float
    seed: int


def drawn_count(part: float, images: int) -> int:
    """Returns how many of some images a part of them is: rounded up, but not for what floating point adds."""
    return math.ceil(part * images - 1e-9)


@dataclass(frozen=True)
class DataPlan:
    """Where the images come from and how they are read.

    Attributes:
        image_size: Height and width in pixels to which each image is resized.
        on_leak: ``fail`` or ``warn``.
        on_bad_image: ``fail`` or ``skip``.
    """

    source: Choice
    image_size: tuple[int, int]
    split: SplitPlan
    batch_size: int
    on_leak: str
    on_bad_image: str


@dataclass(frozen=True)
class BackbonePlan:
    """The network to operate on.

    Attributes:
        name: An entry of the backbones' catalogue, or None for a model file.
        model: A ``.keras`` file, or None for a catalogue entry.
        preprocessing: An entry of the preprocessings.
        weights: ``imagenet``, ``none`` or the path of a weights file; None for a model file, which has its own.
        cut: Name of the last layer that is kept.
    """

    name: str | None
    model: Path | None
    preprocessing: str
    weights: str | None
    cut: str


@dataclass(frozen=True)
class UntilPlan:
    """When a phase may stop before its last epoch."""

    monitor: str
    patience: int
    min_delta: float
    restore_best: bool


@dataclass(frozen=True)
class PhasePlan:
    """One phase of the training.

    Attributes:
        trainable: Names of the layers whose weights are trained, in the network's order.
        batch_norm: ``inference`` or ``train``: the mode of the backbone's unfrozen BatchNormalization layers.
        lr: The schedule of the learning rate.
        class_weight: ``balanced`` or None.
    """

    name: str
    trainable: tuple[str, ...]
    batch_norm: str
    optimizer: Choice
    lr: Choice
    epochs: int
    until: UntilPlan | None
    class_weight: str | None
    label_smoothing: float


@dataclass(frozen=True)
class Plan:
    """What a recipe asks for, complete.

    Attributes:
        augment: Random changes of training images, in this order.
        views: How many changed copies of each image are kept; 0 if each epoch makes new ones.
        features: Where the output of frozen layers is kept: ``auto``, ``memory``, ``disk`` or ``off``.
        features_dtype: What numbers are kept of it: ``float32``, ``bfloat16`` or ``float16``.
        engine: What computes frozen layers: ``auto``, ``tensorflow`` or ``openvino``.
        precision: What layers compute with: ``float32`` or ``bfloat16``.
        deterministic: Whether one machine has to give the same bits again.
        loss_from_logits: Whether the head ends without a softmax.
        expected: What the author measured: ``mean`` and, if known, ``std`` over other seeds of some figures.
        classes: Names of the classes; a class's number is its position.
        network: The rows of the composed network.
        recipe: The resolved recipe, as plain values that compile to this plan again.
        origins: Where each value of ``recipe`` comes from, by its path: a file position, ``--set`` or ``default``.
    """

    name: str
    description: str
    seed: int
    data: DataPlan
    augment: tuple[Choice, ...]
    views: int
    backbone: BackbonePlan
    head: tuple[HeadLayer, ...]
    loss_from_logits: bool
    phases: tuple[PhasePlan, ...]
    features: str
    features_dtype: str
    engine: str
    precision: str
    deterministic: bool
    linear_probe: bool
    expected: Mapping[str, Mapping[str, float]]
    classes: tuple[str, ...]
    network: Network
    recipe: Mapping[str, Any] = field(repr=False)
    origins: Mapping[str, str] = field(repr=False)
