"""Who is told of events."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from surgeon.results.events import Event, Note

Subscriber = Callable[[Event], None]


class Tracker(enum.StrEnum):
    """What logs a run besides its folder."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"


def broadcast(subscribers: Sequence[Subscriber]) -> Subscriber:
    """Returns a function that tells each subscriber of an event.

    One that raises is left out from then on, and the others are told: what is trained is worth more than who watches.
    """
    listening = list(subscribers)

    def tell(event: Event) -> None:
        for subscriber in list(listening):
            try:
                subscriber(event)
            except Exception as error:  # a terminal, a disk, a notebook: whatever it is, the work goes on
                listening.remove(subscriber)
                name = getattr(subscriber, "__qualname__", type(subscriber).__name__)
                tell(Note(f"{name} is told nothing more, since it failed: {type(error).__name__}: {error}"))

    return tell
