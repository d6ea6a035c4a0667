"""Labels that are probably wrong: confident learning on the frozen features."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedKFold

from surgeon.data.dataset import decode_images
from surgeon.errors import SurgeonError
from surgeon.features.frozen import FrozenFeatures, set_up
from surgeon.features.linear_probe import gather_features
from surgeon.features.regression import predict_held_out
from surgeon.model.surgery import build_network
from surgeon.planning.frontier import probe_frontier
from surgeon.results.events import Note
from surgeon.results.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from surgeon.data.dataset import Index
    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event

_FOLDS = 5


def check_labels(plan: Plan, index: Index) -> Generator[Event, None, tuple[Finding, ...]]:
    """Finds labels that are probably wrong among the images of a plan, by the frozen features of its network."""
    # Every image is asked for as it is, and those that cannot be read are named already.
    plan = replace(plan, views=0, data=replace(plan.data, on_bad_image="skip"))
    with ExitStack() as resources:
        dataset = yield from decode_images(index, plan.data, plan.features, resources)
        setup = set_up(plan, build_network(plan), dataset)
        return (yield from label_findings(FrozenFeatures(setup, resources)))


def label_findings(features: FrozenFeatures) -> Generator[Event, None, tuple[Finding, ...]]:
    """Finds labels that are probably wrong among all images, of which copies count once.

    Args:
        features: The frozen features of a network whose head is the only part that is trained.

    Returns:
        The findings, the most suspicious label first.

    Raises:
        SurgeonError: If the features do not fit into memory, or fewer than two classes have images enough.
    """
    dataset, seed = features.setup.dataset, features.setup.plan.seed
    _, first = np.unique(dataset.digests, return_index=True)
    counts = Counter(dataset.labels[first].tolist())
    rare = sorted(number for number, count in counts.items() if count < _FOLDS)
    if len(counts) - len(rare) < 2:
        raise SurgeonError(
            f"finding wrong labels needs two classes with {_FOLDS} images each; found {len(counts) - len(rare)}",
            "add images, or check without --labels",
        )
    if rare:
        names = ", ".join(dataset.classes[number] for number in rare)
        yield Note(f"labels of classes with fewer than {_FOLDS} images are not checked: {names}")
    positions = np.sort(first[~np.isin(dataset.labels[first], rare)])
    yield from features.keep([probe_frontier(features.setup.plan)])
    gathered = yield from gather_features(features, positions)
    yield Note(f"checking the labels of {len(positions):,} images")
    numbers, labels = np.unique(dataset.labels[positions], return_inverse=True)
    issues, probabilities = find_label_issues(gathered, labels, seed)
    return tuple(
        _finding(
            dataset.names[positions[at]],
            {dataset.classes[number]: part for number, part in zip(numbers, probabilities[at], strict=True)},
            dataset.classes[numbers[labels[at]]],
        )
        for at in issues
    )


def find_label_issues(
    features: NDArray[np.float32], labels: NDArray[np.intp], seed: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Finds labels that a linear probe which has not seen them takes for wrong.

    Each image gets the probabilities of a logistic regression on the other folds of a cross-validation. An issue
    is one whose own label is among the least probable and less so than another, of which there are at most as many
    as confident learning (Northcutt, Jiang and Chuang 2021, https://doi.org/10.1613/jair.1.12125) counts.

    Args:
        features: Of shape (n, features).
        labels: Class numbers without a gap, shape (n,), each ``_FOLDS`` times or more.
        seed: Decides the folds.

    Returns:
        The positions of the issues, the least probable label first, and all probabilities, shape (n, classes).
    """
    from cleanlab.filter import find_label_issues as find  # noqa: PLC0415  an extra

    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    probabilities = predict_held_out(features, labels, folds, method="predict_proba")
    found = find(
        labels,
        probabilities,
        return_indices_ranked_by="self_confidence",
        filter_by="low_self_confidence",
        n_jobs=1,  # it would fork, which TensorFlow does not survive
    ).astype(np.intp)
    return found[probabilities[found].argmax(axis=1) != labels[found]], probabilities


def _finding(name: str, probabilities: dict[str, float], label: str) -> Finding:
    likely = max(probabilities, key=probabilities.__getitem__)
    message = (
        f"{name} is labelled {label}, but a linear probe predicts {likely} "
        f"({probabilities[likely]:.2f} against {probabilities[label]:.2f}); check the label"
    )
    return Finding("label", "warning", (name,), message)
