"""What training lowers: losses of Keras on the parts that each class has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from surgeon.catalogue.entry import Entry, Parameters, number, table


@dataclass(frozen=True, kw_only=True)
class LossSpec(Entry):
    """A loss; ``build(parameters, from_logits)`` returns one of Keras, on parts per class and outputs."""

    build: Callable[[Parameters, bool], Any]


def _cross_entropy(parameters: Parameters, from_logits: bool) -> Any:
    import keras

    return keras.losses.CategoricalCrossentropy(from_logits=from_logits)


def _focal(parameters: Parameters, from_logits: bool) -> Any:
    import keras

    # Without Keras' factor of 0.25 for all classes, which would scale the learning rate of some optimizers.
    return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=parameters["gamma"], from_logits=from_logits)


LOSSES = table(
    LossSpec(name="cross_entropy", summary="The cross-entropy.", build=_cross_entropy),
    LossSpec(
        name="focal",
        summary="Focal loss: cross-entropy in which an image counts less, the surer the network is of it.",
        parameters={
            "gamma": number(
                "Focusing parameter: the exponent of the weight 1 - probability.", 2.0, minimum=0, maximum=10
            )
        },
        shorthand="gamma",
        build=_focal,
    ),
)
