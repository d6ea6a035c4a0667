"""What an epoch trains on, in which order, and what each class counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from surgeon.data.batches import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.data.batches import Examples
    from surgeon.recipe.plan import PhasePlan, Plan


def samples_of_epoch(plan: Plan, number: int, examples: Examples, epoch: int) -> Samples:
    """Returns what an epoch, from 1, trains on, in the order that follows from seed, phase and epoch."""
    random = np.random.default_rng((plan.seed, number, epoch))
    if plan.phases[number - 1].sample == "balanced":
        drawn = _balanced(examples, random)
    else:
        drawn = random.permutation(examples.positions)
    samples = Samples.unchanged(drawn)
    if plan.views:
        samples = replace(samples, views=random.integers(1, plan.views + 1, len(samples), dtype=np.intp))
    return samples


def _balanced(examples: Examples, random: np.random.Generator) -> NDArray[np.intp]:
    """Returns as many images as there are, of each class equally many, or one more; in random order.

    An image comes again only when all others of its class have come as often.
    """
    counts = np.bincount(examples.labels)
    by_class = np.split(examples.positions[np.argsort(examples.labels, kind="stable")], np.cumsum(counts)[:-1])
    present = random.permutation(np.flatnonzero(counts))  # chance decides of which there is one more
    drawn = []
    for at, number in enumerate(present):
        images = by_class[number]
        share = len(range(at, len(examples), len(present)))
        rounds = np.tile(images, (math.ceil(share / len(images)), 1))
        drawn.append(random.permuted(rounds, axis=1).ravel()[:share])
    return random.permutation(np.concatenate(drawn))


def class_weights(phase: PhasePlan, train: Examples, classes: Sequence[str]) -> NDArray[np.float32]:
    """Returns a weight per class.

    That is n / (classes * n of the class) for ``balanced``, as scikit-learn has it, and the root of this for
    ``sqrt_balanced``.
    """
    if isinstance(phase.class_weight, str):
        counts = np.bincount(train.labels, minlength=len(classes))
        balanced = len(train) / (len(classes) * np.maximum(counts, 1))
        return (np.sqrt(balanced) if phase.class_weight == "sqrt_balanced" else balanced).astype(np.float32)
    given = phase.class_weight or {}
    return np.array([given.get(name, 1.0) for name in classes], np.float32)
