"""What a run came to in a few sentences, and what to try next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgeon.results.events import PhaseResult
    from surgeon.results.run import Evaluation, RunResult

_APART = 0.1  # of accuracy on training and validation images


def verdict(result: RunResult) -> list[str]:
    """Returns how well the network does, how sure that is, and against the linear probe; nothing without a test."""
    network, probe = result.evaluation, result.linear_probe
    if network is None:
        return []
    images = network.weighted.support
    sentences = [
        f"{network.accuracy:.1%} of {images:,} test images are classified correctly, with a standard error of "
        f"{_standard_error(network):.1%}."
    ]
    if probe is not None:
        gained = network.accuracy - probe.accuracy
        if gained < -_standard_error(network):
            end = ", which is better: lower rates or fewer trained layers may help (surgeon lr, surgeon depth)."
        elif gained <= 0:
            end = ", which is about as good."
        else:
            end = "."
        sentences.append(f"The linear probe on the frozen features reaches {probe.accuracy:.1%}{end}")
    return sentences + list(_advice(result.phases[-1]))


def _standard_error(evaluation: Evaluation) -> float:
    """Returns that of a proportion, with one more image right and one more wrong."""
    images = evaluation.weighted.support
    part = (evaluation.accuracy * images + 1) / (images + 2)
    return math.sqrt(part * (1 - part) / (images + 2))


def _advice(phase: PhaseResult) -> Iterator[str]:
    """Yields what the curves of the last phase say of the network that it ends with."""
    if phase.best_epoch == 0:
        began = ", ".join(f"{name} {value:.4f}" for name, value in phase.start.items())
        yield f"Phase {phase.name!r} ends with its initial weights ({began}): by what it monitors, no epoch did better."
        return
    accuracy, loss = phase.history.get("val_accuracy"), phase.history.get("val_loss")
    if not accuracy or not loss:
        return
    ended = (phase.best_epoch or phase.epochs) - 1
    trained = phase.history["accuracy"][ended]
    if len(accuracy) > 2 and accuracy[-1] > max(accuracy[:-1]) and loss[-1] == min(loss):
        yield "Validation was still getting better in the last epoch: more epochs may help."
    elif trained - accuracy[ended] > _APART:
        yield (
            f"Accuracy is {trained:.1%} on training and {accuracy[ended]:.1%} on validation images: more augmentation "
            "(augment), more dropout or more photographs may help."
        )
