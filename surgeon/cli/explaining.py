"""Explanations as pictures, for the report, the service and ``surgeon explain``."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from surgeon.catalogue.exporters import Classifier
    from surgeon.model.bundle import Bundle

Explainer = Callable[["NDArray[np.uint8]", int], "Image"]


class Method(str, enum.Enum):
    """How a class is traced back to the image."""

    grad_cam = "grad-cam"
    occlusion = "occlusion"


def build_explainer(folder: Path, bundle: Bundle, classifier: Classifier, method: Method) -> Explainer:
    """Returns a function from pixels, of shape (height, width, 3), and a class number to the image with heat over it.

    Grad-CAM needs the network of a run; whatever was exported is asked by occlusion.
    """
    import numpy as np
    from PIL import Image as Pillow

    from surgeon.evaluation.explanations import build_grad_cam, build_occlusion
    from surgeon.report.overlays import lay_over

    if method is Method.occlusion or bundle.format != "run":
        explain: Callable[[Any, int], Any] = build_occlusion(classifier)
    else:
        from surgeon.catalogue.layer_table import open_model
        from surgeon.catalogue.preprocessing import PREPROCESSINGS
        from surgeon.model.pipeline import preprocess

        grad_cam = build_grad_cam(open_model(folder / bundle.file))
        spec = PREPROCESSINGS[bundle.preprocessing]

        def explain(pixels: Any, number: int) -> Any:
            return grad_cam(np.asarray(preprocess(pixels[None], spec))[0], number)

    return lambda pixels, number: lay_over(Pillow.fromarray(pixels), explain(pixels, number))
