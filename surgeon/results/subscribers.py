"""Who is told of events."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing, suppress
from typing import TypeVar

from surgeon.errors import UsageError, did_you_mean, quote, require_modules
from surgeon.results.events import Event, Note
from surgeon.text import printable

Result = TypeVar("Result")
Subscriber = Callable[[Event], None]


class Tracker(enum.StrEnum):
    """What logs a run besides its folder."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"


def find_trackers(log: Collection[Tracker | str] | str) -> list[Tracker]:
    """Returns the trackers of one or several names, whose packages are installed.

    Raises:
        UsageError: If there is none of a name.
        SurgeonError: If a package is not installed.
    """
    known = [tracker.value for tracker in Tracker]
    for name in (names := [log] if isinstance(log, str) else list(log)):
        if name not in known:
            expected = did_you_mean(name, known) or f"expected {' or '.join(known)}"
            raise UsageError(f"no tracker is called {name!r}", expected)
        require_modules(name, (str(name),), str(name))
    return [Tracker(name) for name in names]


def broadcast(subscribers: Sequence[Subscriber]) -> Subscriber:
    """Returns a function that tells each subscriber of an event.

    One that raises is left out from then on, and the others are told: what is trained is worth more than who watches.
    If there are no others, a RuntimeWarning says it.
    """
    listening = list(subscribers)

    def tell(event: Event) -> None:
        for subscriber in list(listening):
            try:
                subscriber(event)
            except Exception as error:  # a terminal, a disk, a notebook: whatever it is, the work goes on
                listening.remove(subscriber)
                name = getattr(subscriber, "__qualname__", type(subscriber).__name__)
                message = f"{name} gets no more events, since it failed: {type(error).__name__}: {error}"
                tell(Note(message))
                if not listening:
                    with suppress(RuntimeWarning):  # where warnings are errors, the work goes on too
                        warnings.warn(printable(message), RuntimeWarning, stacklevel=2)

    return tell


def watched_by(on_event: Subscriber | None) -> Subscriber:
    """Returns what tells the function of a caller, if there is one.

    Raises:
        UsageError: If it is not a function.
    """
    if on_event is not None and not callable(on_event):
        raise UsageError(
            f"on_event is {quote(on_event)}, not a function", "give one that takes an event, as surgeon.show_progress"
        )
    return broadcast([on_event] if on_event else [])


def drive(work: Generator[Event, None, Result], tell: Subscriber = lambda _: None) -> Result:
    """Does a piece of work to its end, telling of its events; returns its result.

    Whatever is raised meanwhile, the work is closed then and there, with the locks and the signals that it holds.
    """
    with closing(work):
        while True:
            try:
                event = next(work)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            tell(event)
