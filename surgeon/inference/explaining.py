"""Explanations as pictures, for the report, the service and ``surgeon explain``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from surgeon.catalogue.layer_table import open_model
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.inference.classify import open_classifier
from surgeon.inference.explanations import build_grad_cam, build_occlusion
from surgeon.model.pipeline import preprocess
from surgeon.report.overlays import lay_over

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.catalogue.exporters import Classifier
    from surgeon.recipe.bundle import Bundle

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
        heat = _grad_cam(open_model(folder / bundle.file), bundle)
        if heat is not None:
            return Explainer("grad-cam", heat)
    return Explainer("occlusion", build_occlusion(classifier or open_classifier(folder)[1]))


def _grad_cam(network: Any, bundle: Bundle) -> Heat | None:
    """Returns Grad-CAM of pixels; None for a network that it does not work on, which its first use tells."""
    spec = PREPROCESSINGS[bundle.preprocessing]
    try:
        explain = build_grad_cam(network)
        if explain is None:
            return None

        def heat(pixels: Any, number: int) -> Any:
            return explain(np.asarray(preprocess(pixels[None], spec))[0], number)

        first = heat(np.zeros((*bundle.image_size, 3), np.uint8), 0)
    except Exception:  # whatever Keras and TensorFlow raise for a graph of a stranger's making
        return None
    return heat if np.isfinite(first).all() else None
