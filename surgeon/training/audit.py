"""The freeze audit: what a phase changed, proven by digests of every variable."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surgeon.errors import SurgeonError
from surgeon.planning.modes import layers_in_training_mode
from surgeon.results.events import AuditResult
from surgeon.text import first_few

if TYPE_CHECKING:
    from surgeon.recipe.network import Network
    from surgeon.recipe.plan import PhasePlan

_NAMED = 5  # variables that an error names


@dataclass(frozen=True)
class Before:
    """A network before a phase.

    Attributes:
        digests: Of each variable, by its path.
        trained: Paths of the variables that the phase has to change.
        adapted: Paths of those that it may change: statistics of BatchNormalization in training mode.
    """

    digests: Mapping[str, str]
    trained: frozenset[str]
    adapted: frozenset[str]


def begin_audit(model: Any, network: Network, phase: PhasePlan) -> Before:
    """Notes a network's variables, and compares what is trainable in it with the plan.

    Raises:
        SurgeonError: If other layers are trainable than the plan says, or other parameters of them.
    """
    chosen, active = set(phase.trainable), layers_in_training_mode(network, phase)
    found = {layer.name: layer.trainable_weights for layer in model.layers if layer.trainable_weights}
    planned = {row.name: row.trainable for row in network.rows if row.name in chosen}
    parameters = {name: sum(math.prod(weight.shape) for weight in weights) for name, weights in found.items()}
    if parameters != planned:
        differing = sorted(name for name in parameters.keys() | planned if parameters.get(name) != planned.get(name))
        raise SurgeonError(
            f"phase {phase.name!r} would not train what its recipe says: "
            + _listed(
                [
                    f"{name} has {parameters.get(name, 0):,} of {planned.get(name, 0):,} parameters to train"
                    for name in differing
                ]
            ),
            "nothing was trained; this is a bug in surgeon, please report it",
        )
    return Before(
        digests=variable_digests(model),
        trained=frozenset(weight.path for weights in found.values() for weight in weights),
        adapted=frozenset(
            weight.path
            for layer in model.layers
            if layer.name in chosen & active
            for weight in layer.non_trainable_weights
        ),
    )


def end_audit(model: Any, before: Before, phase: PhasePlan) -> AuditResult:
    """Proves that a phase has changed the layers that it trained, and no other.

    A single variable may stay as it was without a fault, if its gradient vanishes; a whole layer may not.

    Raises:
        SurgeonError: If a variable changed that was to stay, or all of a layer stayed though it was trained.
    """
    after = variable_digests(model)
    moved = {path for path, digest in after.items() if digest != before.digests.get(path)}
    strayed, unmoved = moved - before.trained - before.adapted, before.trained - moved
    holders = {layer.name: {weight.path for weight in layer.weights} for layer in model.layers if layer.weights}
    stuck = [name for name, paths in holders.items() if paths & before.trained and not paths & before.trained & moved]
    if strayed:
        raise SurgeonError(
            f"the freeze audit failed: phase {phase.name!r} changed what was frozen: {_listed(sorted(strayed))}",
            "do not use the resulting network; this is a bug in surgeon, please report it",
        )
    if stuck:
        raise SurgeonError(
            f"the freeze audit failed: phase {phase.name!r} trained, but did not change: {_listed(stuck)}",
            "its learning rate may be too small to change a float32, or the loss does not depend on these layers",
        )
    return AuditResult(
        frozen_layers=sum(not paths & before.trained for paths in holders.values()),
        trained_layers=sum(bool(paths & before.trained) for paths in holders.values()),
        unmoved=tuple(sorted(unmoved)),
        digest=hashlib.sha256("".join(after.values()).encode()).hexdigest(),
    )


def variable_digests(model: Any) -> dict[str, str]:
    """Returns the SHA-256 of each weight of a model, statistics included, by its path."""
    return {
        weight.path: hashlib.sha256(weight.numpy().tobytes()).hexdigest()
        for layer in model.layers
        for weight in layer.weights
    }


def _listed(items: Iterable[str]) -> str:
    return ", ".join(first_few(items, _NAMED))
