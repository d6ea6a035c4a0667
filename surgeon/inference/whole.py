"""The network of a run from pixels to probabilities, for use without surgeon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from surgeon.catalogue.layer_table import open_model
from surgeon.inference.runtimes import runtime_errors
from surgeon.model.inference import for_inference
from surgeon.model.whole import whole_network
from surgeon.recipe.bundle import MODEL, read_bundle
from surgeon.runs.folder import save_model
from surgeon.runs.known import read_known

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.recipe.bundle import Bundle


def usable_network(run: Path, bundle: Bundle, trained: Any) -> Any:
    """Returns a Keras model from pixels to answers, without what acts in training only; see ``whole_network``.

    Raises:
        SurgeonError: If the network cannot be taken apart so far, or what it compares images with is damaged.
    """
    known = read_known(run, bundle)
    with runtime_errors("this network cannot be taken apart to leave out what acts in training only"):
        return whole_network(bundle, for_inference(trained), known)


def save_whole_network(run: Path) -> None:
    """Writes ``model.keras`` into a run: RGB pixels from 0 to 255 in, answers out."""
    bundle = read_bundle(run)
    save_model(run, MODEL, usable_network(run, bundle, open_model(run / bundle.file)))
