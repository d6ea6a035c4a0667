"""Explanations as pictures, for the report, the service and ``surgeon explain``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from surgeon.catalogue.layer_table import open_model
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.evaluation.explanations import build_grad_cam, build_occlusion
from surgeon.export.classify import open_classifier
from surgeon.model.pipeline import preprocess
from surgeon.report.overlays import lay_over

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.catalogue.exporters import Classifier
    from surgeon.catalogue.preprocessing import PreprocessingSpec
    from surgeon.model.bundle import Bundle

Explainer = Callable[["NDArray[np.uint8]", int], Image.Image]


def build_explainer(folder: Path, bundle: Bundle, method: str, classifier: Classifier | None = None) -> Explainer:
    """Returns a function from pixels, of shape (height, width, 3), and a class number to the image with heat over it.

    Args:
        folder: That of a run or of a bundle.
        bundle: What it holds.
        method: ``grad-cam`` or ``occlusion``. Grad-CAM needs the network of a run, and feature maps in it; others are
            asked by occlusion.
        classifier: The network's function, if it is open already.
    """
    explain: Callable[[Any, int], Any] | None = None
    if method == "grad-cam" and bundle.format == "run":
        explain = _grad_cam(open_model(folder / bundle.file), PREPROCESSINGS[bundle.preprocessing])
    found: Callable[[Any, int], Any] = explain or build_occlusion(classifier or open_classifier(folder)[1])
    return lambda pixels, number: lay_over(Image.fromarray(pixels), found(pixels, number))


def _grad_cam(network: Any, spec: PreprocessingSpec) -> Callable[[Any, int], Any] | None:
    """Returns Grad-CAM of pixels."""
    explain = build_grad_cam(network)
    if explain is None:
        return None
    return lambda pixels, number: explain(np.asarray(preprocess(pixels[None], spec))[0], number)
