"""Explanations as pictures: a map of heat over the image that it explains."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

_MOST = 0.65  # how much of the image the hottest place hides


def lay_over(picture: Image.Image, heat: Any) -> Image.Image:
    """Returns an image with a map over it, itself in grey, so that all colour is heat.

    Args:
        picture: RGB.
        heat: From 0 to 1, of any height and width.
    """
    scaled = Image.fromarray(np.asarray(heat * 255, np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    part = np.asarray(scaled, np.float32)[..., None] / 255
    colour = np.asarray(colormaps["inferno"](part[..., 0])[..., :3], np.float32) * 255
    opacity = _MOST * part
    mixed = np.asarray(picture.convert("L"), np.float32)[..., None] * (1 - opacity) + colour * opacity
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))
