"""A run's own network at work, in TensorFlow or, for many images, in what computes frozen layers fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from surgeon.catalogue.exporters import Classifier, compiled
from surgeon.catalogue.layer_table import open_model
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.inference.runtimes import runtime_errors
from surgeon.model.engine import build_engine, usual_engine
from surgeon.model.pipeline import preprocess
from surgeon.model.whole import ending, whole_network
from surgeon.runs.known import read_known

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from surgeon.recipe.bundle import Bundle

MANY = 64  # images that a faster engine is worth its start for


def open_trained(folder: Path, bundle: Bundle, images: int) -> Classifier:
    """Opens the network of a run.

    Args:
        folder: The run's.
        bundle: What it holds.
        images: About how many will be classified.

    Raises:
        SurgeonError: If it cannot be opened, or does not go with its bundle.
    """
    path = folder / bundle.file
    network = open_model(path)
    with runtime_errors(f"{path.name} does not go with what {folder} says about it"):
        known = read_known(folder, bundle)
        return _pass(bundle, network, known) if images >= MANY else compiled(whole_network(bundle, network, known))


def _pass(bundle: Bundle, network: Any, known: NDArray[Any] | None) -> Classifier:
    """Returns a run's network as a function, computed as frozen layers are."""
    spec = PREPROCESSINGS[bundle.preprocessing]
    part, end = ending(bundle, network, known)
    engine = usual_engine({type(layer).__name__ for layer in network._flatten_layers()})
    compute = build_engine(part, lambda pixels: preprocess(pixels, spec), engine)

    def answers(pixels: Any) -> Any:
        outputs = compute((pixels,))
        given = outputs if len(outputs) > 1 else outputs[0]
        return given if end is None else np.asarray(end(given, training=False))

    return (lambda pixels: (answers(pixels) + answers(pixels[:, :, ::-1])) / 2) if bundle.flip else answers
