"""Where in an image a run's network sees a class, by its gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.catalogue.layer_table import open_model
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.inference.occlusion import Explain
from surgeon.model.grad_cam import build_grad_cam
from surgeon.model.pipeline import preprocess

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.recipe.bundle import Bundle


def grad_cam_of(folder: Path, bundle: Bundle) -> Explain | None:
    """Returns Grad-CAM of pixels for a run's network; None for one that it does not work on, which its first use tells.

    Args:
        folder: The run's.
        bundle: What it holds.
    """
    spec = PREPROCESSINGS[bundle.preprocessing]
    network = open_model(folder / bundle.file)
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
