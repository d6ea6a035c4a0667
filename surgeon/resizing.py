"""How a picture of any shape becomes one of the size that a network takes.

The arithmetic is that of whole pixels, so that a graph of TensorFlow can do the same to the bit; see
``surgeon.networks.decoding``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

RULES = ("squash", "crop", "pad")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos")
Size = tuple[int, int]  # height and width in pixels


class Box(NamedTuple):
    """A part of a picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Resizing:
    """How pictures are resized.

    Attributes:
        size: Height and width of what comes out, in pixels.
        rule: ``squash`` takes the whole picture whatever its shape, ``crop`` the middle of it that has the right shape,
            ``pad`` the whole in its own shape, in the middle of black.
        scale: The part of the longest possible sides that ``crop`` keeps, above 0 and up to 1.
        interpolation: One of Pillow's filters, all of them antialiased; see ``INTERPOLATIONS``.

    Raises:
        ValueError: If there is no such rule or filter, or the scale is out of range.
    """

    size: Size
    rule: str = "squash"
    scale: float = 1.0
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"the unknown resizing {self.rule!r}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"the unknown interpolation {self.interpolation!r}")
        if not 0 < self.scale <= 1:
            raise ValueError(f"a crop to {self.scale!r} of the sides")

    def taken(self, picture: Size) -> Box:
        """Returns the part of a picture that is seen."""
        return centred(largest_within(picture, self.size, self.scale) if self.rule == "crop" else picture, picture)

    def covered(self, picture: Size) -> Box:
        """Returns the part of what comes out that shows it; around it all is black."""
        return centred(largest_within(self.size, picture) if self.rule == "pad" else self.size, self.size)

    def __str__(self) -> str:
        rule = f"crop to {self.scale:g} of the sides" if self.rule == "crop" and self.scale < 1 else self.rule
        return f"{self.size[0]} x {self.size[1]} pixels, {rule}, {self.interpolation}"


def largest_within(outer: Size, shape: Size, scale: float = 1.0) -> Size:
    """Returns height and width of the largest box of a shape that fits, or of a part of its sides, at least 1 pixel."""
    height = min(outer[0], outer[1] * shape[0] / shape[1])
    width = min(outer[1], outer[0] * shape[1] / shape[0])
    return max(1, math.floor(scale * height + 0.5)), max(1, math.floor(scale * width + 0.5))


def centred(inner: Size, outer: Size) -> Box:
    """Returns a box in the middle of another, of an odd rest the smaller part above and left of it."""
    return Box((outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2, *inner)
