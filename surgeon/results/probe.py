"""What was found out about where to cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property


def standard_error(accuracy: float, images: int) -> float:
    """Returns the standard error of an accuracy on some different images.

    One more right and one more wrong answer are counted, after Laplace: all of eight images right is no proof.
    """
    part = (accuracy * images + 1) / (images + 2)
    return math.sqrt(part * (1 - part) / (images + 2))


@dataclass(frozen=True)
class CutResult:
    """How far a linear classifier gets on what a network knows at one cut, and what that costs.

    Attributes:
        backbone: The network.
        cut: Name of the last layer that would be kept.
        index: Its index, as ``surgeon layers`` shows it.
        features: Numbers per image after pooling.
        accuracy: Of images that the classifier was not fitted to, from 0 to 1.
        standard_error: Of the accuracy.
        parameters: That would be kept, statistics of normalization layers included.
        multiply_adds: Per image.
        milliseconds: Per image, measured on this machine in batches, preprocessing included.
    """

    backbone: str
    cut: str
    index: int
    features: int
    accuracy: float
    standard_error: float
    parameters: int
    multiply_adds: int
    milliseconds: float

    @property
    def megabytes(self) -> float:
        """What the parameters take as float32, in units of 10**6 bytes."""
        return 4e-6 * self.parameters

    def __str__(self) -> str:
        return f"{self.cut} of {self.backbone}"


@dataclass(frozen=True)
class ProbeResult:
    """The cuts of one network or several, measured on the same images.

    Attributes:
        images: How many: those of the training and validation splits.
        folds: Of the cross-validation.
        cuts: In the order of the networks, each from its beginning to its end.
        pass_seconds: For each network what its layers took for all images that were not kept already; 0.0 where nothing
            could be kept.
    """

    images: int
    folds: int
    cuts: tuple[CutResult, ...]
    pass_seconds: tuple[float, ...]

    @cached_property
    def best(self) -> CutResult:
        """The cut with the highest accuracy; the cheapest of several."""
        return max(self.cuts, key=lambda cut: (cut.accuracy, -cut.multiply_adds))

    @cached_property
    def suggested(self) -> CutResult:
        """The cheapest cut, by its arithmetic, whose accuracy is within a standard error of the best one's.

        The one-standard-error rule of Breiman, Friedman, Olshen and Stone, "Classification and regression trees", 1984.
        Measured times would suggest another cut from one call to the next where two are about equal.
        """
        least = self.best.accuracy - self.best.standard_error
        return min((cut for cut in self.cuts if cut.accuracy >= least), key=lambda cut: cut.multiply_adds)
