"""Explanations as pictures, for the report, the service and ``surgeon explain``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from surgeon.data.images import undo_fit
from surgeon.evaluation.rejection import read_answers
from surgeon.inference.classify import open_classifier
from surgeon.inference.occlusion import build_occlusion
from surgeon.report.overlays import lay_over

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.catalogue.exporters import Classifier
    from surgeon.recipe.bundle import Bundle
    from surgeon.resizing import Resizing

EXPLAINED_SIDE = 1024  # pixels of an explanation, at the most
Heat = Callable[[Any, int], Any]


@dataclass(frozen=True, eq=False)
class Explainer:
    """Shows where in an image a network sees a class.

    Attributes:
        method: ``grad-cam`` or ``occlusion``, whichever it is asked by.
        heat: From pixels, of shape (height, width, 3), and a class number to a map from 0 to 1.
    """

    method: str
    heat: Heat

    def __call__(self, pixels: NDArray[np.uint8], number: int) -> Image.Image:
        """Returns the image with heat over it."""
        return lay_over(Image.fromarray(pixels), self.heat(pixels, number))

    def over(self, picture: Image.Image, pixels: NDArray[np.uint8], number: int, resizing: Resizing) -> Image.Image:
        """Returns the part of a picture that the network sees, as sharp as it is, with heat over it.

        Args:
            picture: RGB; it is drawn with at most 1,024 pixels a side.
            pixels: What the network takes of it.
            number: That of the class.
            resizing: How they came about.
        """
        taken = resizing.taken(picture.size[::-1])
        shown = picture.crop((taken.left, taken.top, taken.left + taken.width, taken.top + taken.height))
        shown.thumbnail((EXPLAINED_SIDE, EXPLAINED_SIDE))
        heat = Image.fromarray(np.asarray(self.heat(pixels, number) * 255, np.uint8))
        heat = undo_fit(heat.resize(resizing.size[::-1], Image.Resampling.BICUBIC), resizing, picture.size[::-1])
        return lay_over(shown, np.asarray(heat, np.float32) / 255)


def build_explainer(folder: Path, bundle: Bundle, method: str, classifier: Classifier | None = None) -> Explainer:
    """Returns what explains a network's answers.

    Args:
        folder: That of a run or of a bundle.
        bundle: What it holds.
        method: ``grad-cam`` or ``occlusion``. Grad-CAM needs the network of a run, feature maps in it, and gradients of
            them; other networks are asked by occlusion.
        classifier: The network's function, if it is open already.
    """
    if method == "grad-cam" and bundle.format == "run":
        from surgeon.inference.grad_cam import grad_cam_of  # noqa: PLC0415  needs TensorFlow, occlusion does not

        heat = grad_cam_of(folder, bundle)
        if heat is not None:
            return Explainer("grad-cam", heat)
    asked = classifier or open_classifier(folder)[1]
    # How much less a covered image is like the known ones says nothing about where its class is.
    return Explainer("occlusion", build_occlusion(lambda pixels: read_answers(asked(pixels), bundle.rejection)[0]))
