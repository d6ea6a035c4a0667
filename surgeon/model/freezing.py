"""What a phase trains, and in which mode each layer runs while it does."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from surgeon.model.activation import in_one_pass
from surgeon.model.folding import folded_view
from surgeon.planning.modes import layers_in_training_mode

if TYPE_CHECKING:
    from surgeon.recipe.network import Network
    from surgeon.recipe.plan import PhasePlan


def set_trainable(model: Any, phase: PhasePlan) -> None:
    """Makes exactly the phase's layers trainable."""
    chosen = set(phase.trainable)
    for layer in model.layers:
        layer.trainable = layer.name in chosen


def training_view(part: Any, network: Network, phase: PhasePlan) -> Any:
    """Returns a part of the network whose layers, the same ones, each run in the mode that the phase asks for.

    Call it without ``training``: that argument would override the modes. A convolution whose BatchNormalization
    runs in inference mode computes it as well, where nothing else uses what lies between the two.
    """
    active = layers_in_training_mode(network, phase)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if "training" in inspect.signature(layer.call).parameters:
            kwargs["training"] = layer.name in active
        return in_one_pass(layer)(*args, **kwargs)

    return folded_view(part, active, call)
