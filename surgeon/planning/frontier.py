"""The frontier: the deepest tensors that no epoch of a phase can change.

What lies before it is computed once per image and kept; what follows it is trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from surgeon.catalogue.layer_table import LayerRow
    from surgeon.recipe.network import Network
    from surgeon.recipe.plan import Plan

VALUE_BYTES = 4  # of a float32

# What reading kept bytes and repeating arithmetic cost, to weigh one against the other. Their ratio is about
# the same on a laptop and on a server; it decides only between frontiers of very different shape.
_BYTES_PER_SECOND = 1e9
_MULTIPLY_ADDS_PER_SECOND = 1e11


@dataclass(frozen=True)
class Frontier:
    """Where the frozen part of a network is cut off from the trained one.

    Attributes:
        layers: The layers whose outputs are kept, in the network's order; none for the decoded image.
        prefix: All layers up to there, which are computed once.
        values: How many numbers are kept per image.
        once: Multiply-adds per image up to the frontier.
        repeated: Multiply-adds per image of frozen layers behind it, which every epoch repeats. They are of a phase;
            the frontiers of two phases are the same if they keep the same.
    """

    layers: tuple[str, ...]
    prefix: frozenset[str]
    values: int
    once: int
    repeated: int = field(compare=False)

    @property
    def is_image(self) -> bool:
        """Whether nothing but the decoded image can be kept."""
        return not self.layers


def image_frontier(network: Network, trained: Collection[str]) -> Frontier:
    """Returns the frontier of a phase that keeps nothing but the decoded image."""
    frozen = frozen_prefix(network, trained)
    repeated = sum(multiply_adds(row) for row in network.rows if row.name in frozen)
    return Frontier((), frozenset(), math.prod(network.rows[0].shape), 0, repeated)


def frozen_prefix(network: Network, trained: Collection[str]) -> frozenset[str]:
    """Returns the names of the layers that no training step can change the output of.

    These are the layers that are not trained and depend on no layer that is. Dropout of the backbone among
    them rests with the rest of it; dropout of the head is there to act, so nothing behind it is frozen.

    Args:
        network: The composed network.
        trained: Names of the layers whose weights are trained.
    """
    acting = {row.name for row in network.head if row.kind == "Dropout"}
    frozen: dict[int, str] = {}
    for row in network.rows:
        if row.name not in trained and row.name not in acting and all(index in frozen for index in row.inputs):
            frozen[row.index] = row.name
    return frozenset(frozen.values())


def multiply_adds(row: LayerRow) -> int:
    """Returns the multiply-adds of a layer for an image: every weight is used once a position of its output."""
    return row.trainable * math.prod(row.shape[:-1])


def pass_multiply_adds(network: Network, frontiers: Collection[Frontier]) -> int:
    """Returns the multiply-adds per image of one pass up to some frontiers, which compute together what they share."""
    prefix = frozenset[str]().union(*(frontier.prefix for frontier in frontiers))
    return sum(multiply_adds(row) for row in network.rows if row.name in prefix)


def recompute_seconds(network: Network, frontiers: Collection[Frontier], images: int) -> float:
    """Returns about how long every epoch would take longer if nothing were kept at some frontiers."""
    return images * pass_multiply_adds(network, frontiers) / _MULTIPLY_ADDS_PER_SECOND


def epoch_multiply_adds(network: Network, trained: Collection[str], frontier: Frontier) -> int:
    """Returns the multiply-adds per image of one epoch: behind the frozen part once forward and twice backward."""
    frozen = frozen_prefix(network, trained)
    behind = sum(multiply_adds(row) for row in network.rows if row.name not in frozen)
    return frontier.repeated + 3 * behind


def find_frontier(network: Network, trained: Collection[str]) -> Frontier:
    """Finds the cheapest frontier of a phase.

    Each beginning of the frozen prefix has one: the outputs of its layers that layers behind it use. The
    deepest repeats no arithmetic; a shallower one can be smaller, as the image is smaller than the first maps
    of most networks. Each is weighed by what an epoch costs with it.

    Args:
        network: The composed network.
        trained: Names of the layers whose weights the phase trains.
    """
    frozen = frozen_prefix(network, trained)
    order = [row for row in network.rows if row.name in frozen]
    last = network.rows[-1].index
    total = sum(map(multiply_adds, order))
    users: dict[int, list[int]] = {}
    for row in network.rows:
        for index in row.inputs:
            users.setdefault(index, []).append(row.index)
    best = image_frontier(network, trained)
    best_cost = best.values / _BYTES_PER_SECOND + total / _MULTIPLY_ADDS_PER_SECOND
    once, before = 0, set[int]()
    for row in order:
        once += multiply_adds(row)
        before.add(row.index)
        if not row.inputs:
            continue  # the decoded image in another form
        kept = [
            kept
            for kept in order
            if kept.index in before
            and (kept.index == last or any(user not in before for user in users.get(kept.index, ())))
        ]
        values = sum(math.prod(layer.shape) for layer in kept)
        cost = values * VALUE_BYTES / _BYTES_PER_SECOND + (total - once) / _MULTIPLY_ADDS_PER_SECOND
        if cost <= best_cost:
            prefix = frozenset(layer.name for layer in order if layer.index in before)
            names = tuple(layer.name for layer in kept)
            best, best_cost = Frontier(names, prefix, values, once, total - once), cost
    return best


def phase_frontiers(plan: Plan, number: int) -> tuple[Frontier, Frontier]:
    """Returns the frontiers of phase ``number`` (from 1) for training and for measuring.

    Augmentation changes the decoded image every epoch, but only in training, and not if views are kept.
    """
    trained = plan.phases[number - 1].trainable
    image = image_frontier(plan.network, trained)
    if plan.features == "off":
        return image, image
    deepest = find_frontier(plan.network, trained)
    return (image if plan.augment and not plan.views else deepest), deepest


def probe_frontier(plan: Plan) -> Frontier:
    """Returns the frontier of the linear probe: that of a phase which trains the whole head and nothing else."""
    head = {row.name for row in plan.network.head if row.trainable}
    if plan.features == "off":
        return image_frontier(plan.network, head)
    return find_frontier(plan.network, head)


def upcoming_frontiers(plan: Plan, number: int) -> list[Frontier]:
    """Returns the frontiers of phase ``number`` and of later ones that no phase in between changes.

    They are computed in one pass: a shallow one lies on the way to a deep one. That of the linear probe comes
    with those of the first phase.
    """
    found: dict[Frontier, None] = {}
    trained = set[str]()
    for later in range(number, len(plan.phases) + 1):
        for frontier in phase_frontiers(plan, later):
            if not frontier.is_image and not frontier.prefix & trained:
                found[frontier] = None
        trained.update(plan.phases[later - 1].trainable)
    if number == 1 and plan.fits_probe and not (probed := probe_frontier(plan)).is_image:
        found[probed] = None
    return list(found)
