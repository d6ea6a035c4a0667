"""In which mode each layer runs while a phase trains, and what becomes of its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surgeon.planning.frontier import frozen_prefix

if TYPE_CHECKING:
    from surgeon.catalogue.layer_table import LayerRow
    from surgeon.recipe.network import Network
    from surgeon.recipe.plan import PhasePlan


def layers_in_training_mode(network: Network, phase: PhasePlan) -> frozenset[str]:
    """Returns the names of the layers that run in training mode in a phase.

    The frozen prefix runs in inference mode, so that it always gives the same answer. Behind it every layer
    trains, but for the backbone's BatchNormalization: its statistics fit ImageNet and small batches would
    spoil them. It joins in only if it is unfrozen and the phase says ``batch_norm: train``. A model inside
    the backbone may hold such layers and is treated like one.
    """
    frozen = frozen_prefix(network, phase.trainable)
    normalizing = {
        row.name for row in network.backbone if row.kind in {"BatchNormalization", "Functional", "Sequential"}
    }
    if phase.batch_norm == "train":
        normalizing -= set(phase.trainable)
    return frozenset(row.name for row in network.rows) - frozen - normalizing


def layer_states(network: Network, phase: PhasePlan) -> dict[str, str]:
    """Returns what becomes of each layer with weights in a phase, by name.

    The states are ``frozen``, ``trained`` and ``trained, inference``, the last for BatchNormalization that
    learns its scale and offset but keeps its statistics.
    """
    active = layers_in_training_mode(network, phase)

    def state(row: LayerRow) -> str:
        if row.name not in phase.trainable:
            return "frozen"
        normalizes = row.kind == "BatchNormalization"
        return "trained, inference" if normalizes and row.name not in active else "trained"

    return {row.name: state(row) for row in network.rows if row.trainable or row.fixed}
