"""The bounds of what a trained network rejects, from its validation images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from scipy.special import softmax

from surgeon.data.batches import Examples
from surgeon.errors import SurgeonError
from surgeon.evaluation.calibration import fit_temperature
from surgeon.evaluation.rejection import TINY, choose_bounds, choose_known, distances, unit
from surgeon.model.answers import with_features
from surgeon.model.precision import computing_in
from surgeon.model.prediction import build_predictor, predict
from surgeon.recipe.bundle import Rejection

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from surgeon.features.frozen import FrozenFeatures
    from surgeon.planning.frontier import Frontier
    from surgeon.results.events import Progress

_NEIGHBOURS = 5  # about as many images as a small class has; one would let a single odd or mislabelled image decide


def set_bounds(
    features: FrozenFeatures, frontier: Frontier, accept: float
) -> Generator[Progress, None, tuple[Rejection, NDArray[np.float32]]]:
    """Returns when a trained network rejects, and the features of training images that others are compared with.

    Args:
        features: What is kept of the frozen layers.
        frontier: Where to begin.
        accept: The part of the validation images that is to be accepted.

    Raises:
        SurgeonError: If the network gives no finite numbers.
    """
    setup = features.setup
    layer = next(layer.name for layer in reversed(setup.plan.head) if layer.kind == "dense")
    train, validation = (features.feed(split, frontier) for split in ("train", "validation"))
    part = with_features(setup.network, layer, train.frontier.layers)
    width = part.outputs[1].shape[-1]
    chosen = train.examples.positions[choose_known(train.examples.labels, width)]
    known = Examples(train.examples.gather, train.examples.numbers, chosen)
    joined = keras.Model(part.input, keras.layers.Concatenate(name="answer")(part.outputs[::-1]))
    with computing_in(setup.network, setup.plan.untimed_precision):
        predictor = build_predictor(joined, train.frontier, setup.pipeline)

    size, task = setup.plan.data.batch_size, "set bounds"
    rows = yield from predict(predictor, known, size, task)
    nearest = unit(rows[:, :width])
    neighbours = min(_NEIGHBOURS, len(nearest))

    def outputs_and_distance(tensors: Any) -> NDArray[np.float32]:
        """The features of all validation images may be more than there is room for."""
        batch = np.asarray(predictor(tensors), np.float32)
        return np.column_stack([batch[:, width:], distances(batch[:, :width], nearest, neighbours)])

    found = yield from predict(outputs_and_distance, validation.examples, size, task)
    if not (np.isfinite(nearest).all() and np.isfinite(found).all()):
        raise SurgeonError(
            "the network gives numbers that are not finite (NaN or infinity), so no bounds can be set by them",
            "lower the lr of the last phase, or leave out reject",
        )
    outputs, distance = found[:, :-1], found[:, -1]
    logits = outputs if setup.plan.loss_from_logits else np.log(np.maximum(outputs, TINY))
    temperature = fit_temperature(softmax(logits, axis=1), validation.examples.labels)
    bounds = choose_bounds(softmax(logits / temperature, axis=1).max(axis=1), distance, accept)
    return Rejection(layer, temperature, neighbours, *bounds), nearest
