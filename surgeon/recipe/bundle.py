"""What has to go with a network so that it can be used: its classes, its image size, what it wants of pixels."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.errors import UsageError, did_you_mean
from surgeon.files import read_regular
from surgeon.records import check_version, damage_told, record_of
from surgeon.resizing import Resizing

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.recipe.plan import Plan

NETWORK = "network.keras"  # the network after the last finished phase, from preprocessed pixels, for further surgery
MODEL = "model.keras"  # the finished one from pixels to probabilities, for use
UNKNOWN = "unknown"  # what an image is that is rejected
_FILE = "bundle.json"
_VERSION = 4
_AT_FIRST = {"resize": "squash", "scale": 1.0, "interpolation": "bilinear", "input": None}  # what version 1 leaves out
_MOST_BYTES = 64 << 20
_LARGEST_SIDE = 4096  # as recipes have it


@dataclass(frozen=True)
class _Versioned:
    """A ``bundle.json`` of any version."""

    bundle: int


@dataclass(frozen=True)
class PixelInput:
    """What a network takes that was exported: RGB pixels from 0 to 255.

    Attributes:
        name: Of its input.
        dtype: Of the numbers.
        shape: Of a batch: images, height, width and channels; None where any number will do.
    """

    name: str
    dtype: str
    shape: tuple[int | None, int, int, int]


@dataclass(frozen=True)
class Rejection:
    """When a network answers ``unknown``.

    Attributes:
        layer: The head's last dense one; what goes into it are the features whose distance counts.
        temperature: What logits are divided by, which makes probabilities as sure as they are right.
        neighbours: The distance of an image is that to so many-th nearest training image.
        least_probability: Of the likeliest class of an image that is accepted, from 0 to 1.
        largest_distance: Of an image that is accepted: one less the cosine between features, from 0 to 2.
    """

    layer: str
    temperature: float
    neighbours: int
    least_probability: float
    largest_distance: float

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.neighbours > 0 and self.largest_distance > 0):
            raise ValueError("a rejection by bounds that cannot be")


@dataclass(frozen=True)
class Bundle:
    """A network in a folder, ready to use: a run, or what was exported of one.

    Attributes:
        name: What the run is called.
        classes: Names of the classes, in the order of the network's outputs.
        image_size: Height and width in pixels, to which images are resized.
        format: An entry of the exporters, or ``run``.
        file: The network's file or folder, in the bundle's folder.
        preprocessing: What pixels go through before the network; ``none`` where it is part of the graph.
        from_logits: Whether the network ends without a softmax.
        resize: One of ``surgeon.resizing.RULES``.
        scale: The part of a picture's sides that a crop keeps.
        interpolation: One of ``surgeon.resizing.INTERPOLATIONS``.
        input: What the file takes, where it has a name for that; None for a run, whose network takes what
            ``preprocessing`` makes of pixels.
        rejection: When the answer is ``unknown``, for which answers then have one number more, behind those of the
            classes; None if one of the classes is always told.
        flip: Whether the answers to an image and to its mirror image are to be averaged.
    """

    name: str
    classes: tuple[str, ...]
    image_size: tuple[int, int]
    format: str
    file: str
    preprocessing: str
    from_logits: bool
    resize: str
    scale: float
    interpolation: str
    input: PixelInput | None
    rejection: Rejection | None = None  # none before version 3
    flip: bool = False  # nor this before version 4

    @property
    def answers(self) -> tuple[str, ...]:
        """What the numbers of an answer stand for: the classes and, where images are rejected, ``unknown``."""
        return self.classes if self.rejection is None else (*self.classes, UNKNOWN)

    @property
    def resizing(self) -> Resizing:
        """How each image becomes one that the network takes."""
        return Resizing(self.image_size, self.resize, self.scale, self.interpolation)

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError("no classes, or one twice")
        if not all(0 < side <= _LARGEST_SIDE for side in self.resizing.size):
            raise ValueError(f"images of {self.image_size[0]} x {self.image_size[1]} pixels")
        if self.preprocessing not in PREPROCESSINGS:
            raise ValueError(f"the unknown preprocessing {self.preprocessing!r}")
        if self.file in ("", ".", "..") or any(sign in self.file for sign in "/\\\0"):
            raise ValueError(f"a network outside of its folder, {self.file!r}")


def bundle_of(plan: Plan, file: str) -> Bundle:
    """Returns what the network of a run needs."""
    resizing = plan.data.resizing
    return Bundle(
        name=plan.name,
        classes=plan.classes,
        image_size=resizing.size,
        format="run",
        file=file,
        preprocessing=plan.backbone.preprocessing,
        from_logits=plan.loss_from_logits,
        resize=resizing.rule,
        scale=resizing.scale,
        interpolation=resizing.interpolation,
        input=None,
        flip=plan.test_time_augmentation == "flip",
    )


def write_bundle(folder: Path, bundle: Bundle) -> None:
    """Writes ``bundle.json``."""
    record = {"bundle": _VERSION, **asdict(bundle)}
    (folder / _FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_bundle(folder: Path) -> Bundle:
    """Returns what a folder holds.

    Raises:
        UsageError: If it holds no bundle, its description is damaged, or its network is missing.
    """
    path = folder / _FILE
    if not folder.exists():
        near = did_you_mean(folder.name, (entry.name for entry in folder.parent.glob("*/") if entry.is_dir()))
        raise UsageError(f"there is no folder {folder}", near or "give the folder of a run or of an export")
    if not path.exists():
        inside = (folder.parent / _FILE).exists()
        hint = (
            f"give the folder that it is in: {folder.parent}" if inside else "give the folder of a run or of an export"
        )
        what = f"there is no {_FILE} in it" if folder.is_dir() else "it is a file"
        raise UsageError(f"{folder} is not the folder of a network: {what}", hint)
    with damage_told(path, "export it again, or restore the run from a copy or run its recipe again", UsageError):
        record = json.loads(read_regular(path, _MOST_BYTES))
        version = record_of(record, _Versioned).bundle
        check_version(path, {"version": version}, _VERSION)
        bundle = record_of({**_AT_FIRST, **record} if version == 1 else record, Bundle)
    if not (folder / bundle.file).exists():
        raise UsageError(f"{folder} holds no network yet: no {bundle.file}", "wait until its first phase is finished")
    return bundle
