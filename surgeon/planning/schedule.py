"""The work of a run as data: what ``surgeon plan`` prices and a trial executes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from surgeon.planning.frontier import Frontier, image_frontier, phase_frontiers, upcoming_frontiers

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan


@dataclass(frozen=True)
class Pass:
    """Every image goes through the frozen layers once, up to some frontiers, whose tensors are kept.

    Attributes:
        before: The phase that it is done for, from 1.
    """

    before: int
    frontiers: tuple[Frontier, ...]


@dataclass(frozen=True)
class Probe:
    """A logistic regression is fitted to the frozen features; the head begins with it, or is compared with it."""


@dataclass(frozen=True)
class Train:
    """A phase, from 1, is trained from one frontier and validated from another."""

    phase: int
    training: Frontier
    measuring: Frontier


@dataclass(frozen=True)
class Forget:
    """What is kept behind layers that were trained is let go: it is that of another network now."""

    trained: frozenset[str]


@dataclass(frozen=True)
class Restore:
    """A run goes on: the layers of some first phases get the weights of its checkpoint."""

    phases: int


@dataclass(frozen=True)
class Bound:
    """Bounds are set for what the network will reject, by training and validation images, from a frontier."""

    frontier: Frontier


@dataclass(frozen=True)
class Measure:
    """The test images are classified, from a frontier and, if their mirror images count too, these from another."""

    frontier: Frontier
    flipped: Frontier | None


Step: TypeAlias = Pass | Probe | Restore | Train | Forget | Bound | Measure


def schedule(plan: Plan, begun: int = 0) -> tuple[Step, ...]:
    """Returns the steps of a run in their order.

    Args:
        plan: What is asked for.
        begun: The phase that a run which goes on was in, from 1; 0 for a new one.

    Returns:
        The steps. No frontier is computed twice as long as nothing before it is trained. Those of later phases that no
        phase in between changes are computed with the first, since a shallow one lies on the way to a deep one.
    """
    known: set[Frontier] = set()
    steps: list[Step] = []

    def compute(number: int) -> None:
        lacking = tuple(frontier for frontier in upcoming_frontiers(plan, number) if frontier not in known)
        known.update(lacking)
        steps.extend([Pass(number, lacking)] if lacking else [])

    def change(numbers: range) -> set[str]:
        trained = {name for number in numbers for name in plan.phases[number - 1].trainable}
        known.difference_update([frontier for frontier in known if frontier.prefix & trained])
        return trained

    if plan.fits_probe:
        compute(1)
        steps.append(Probe())
    if begun:
        change(range(1, begun + 1))
        steps.append(Restore(begun))
    for number in range(max(begun, 1), len(plan.phases) + 1):
        compute(number)
        steps.append(Train(number, *phase_frontiers(plan, number)))
        steps.append(Forget(frozenset(change(range(number, number + 1)))))
    last = phase_frontiers(plan, len(plan.phases))[1]
    flipped = image_frontier(plan.network, ()) if plan.test_time_augmentation == "flip" else None
    return (*steps, *([Bound(last)] if plan.reject else []), Measure(last, flipped))
