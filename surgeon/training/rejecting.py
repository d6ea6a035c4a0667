"""The bounds of what a trained network rejects, from its validation images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from scipy.special import softmax

from surgeon.data.batches import Examples
from surgeon.evaluation.rejection import TINY, choose_bounds, choose_known, distances, fit_temperature, unit
from surgeon.model.answers import with_features
from surgeon.model.precision import computing_in
from surgeon.model.prediction import build_predictor, predict
from surgeon.recipe.bundle import Rejection

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from surgeon.features.frozen import FrozenFeatures
    from surgeon.planning.frontier import Frontier
    from surgeon.recipe.network import Network
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
    """
    setup = features.setup
    layer = decision_layer(setup.plan.network)
    train, validation = (features.feed(split, frontier) for split in ("train", "validation"))
    part = with_features(setup.network, layer, train.frontier.layers)
    width = part.outputs[1].shape[-1]
    chosen = train.examples.positions[choose_known(train.examples.labels, width)]
    known = Examples(train.examples.gather, train.examples.numbers, chosen)
    joined = keras.Model(part.input, keras.ops.concatenate(part.outputs[::-1], axis=-1))
    with computing_in(setup.network, setup.plan.precision):
        predictor = build_predictor(joined, train.frontier, setup.pipeline)

    def outputs(examples: Examples) -> Generator[Progress, None, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        rows = yield from predict(predictor, examples, setup.plan.data.batch_size, "set bounds")
        return rows[:, width:], unit(rows[:, :width])

    _, nearest = yield from outputs(known)
    found, placed = yield from outputs(validation.examples)
    logits = found if setup.plan.loss_from_logits else np.log(np.maximum(found, TINY))
    temperature = fit_temperature(logits, validation.examples.labels)
    neighbours = min(_NEIGHBOURS, len(nearest))
    likeliest = softmax(logits / temperature, axis=1).max(axis=1)
    bounds = choose_bounds(likeliest, distances(placed, nearest, neighbours), accept)
    return Rejection(layer, temperature, neighbours, *bounds), nearest


def decision_layer(network: Network) -> str:
    """Returns the last layer with weights: what goes into it are the features that a network decides by."""
    return [row.name for row in network.rows if row.trainable + row.fixed][-1]
