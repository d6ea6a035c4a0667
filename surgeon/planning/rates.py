"""Layers with learning rates of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from surgeon.planning.cuts import depths_of

if TYPE_CHECKING:
    from surgeon.recipe.network import Network
    from surgeon.recipe.plan import PhasePlan


def rate_scales(network: Network, phase: PhasePlan) -> dict[str, float]:
    """Returns what the phase's learning rate is multiplied by for each layer that it trains, by name.

    That is the product of the layer's ``lr_scale`` and of ``layer_decay`` to the power of the number of blocks from its
    own to the head, as Clark and others, "ELECTRA", 2020, https://arxiv.org/abs/2003.10555, and Bao and others, "BEiT",
    2021, https://arxiv.org/abs/2106.08254, fine-tune networks.
    """
    decay = {name: phase.layer_decay**number for number, depth in enumerate(depths_of(network)) for name in depth.block}
    scales = phase.lr_scale or {}
    return {name: scales.get(name, 1.0) * decay[name] for name in phase.trainable}
