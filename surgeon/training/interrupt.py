"""Ctrl-C and SIGTERM: once stops long work where it can be taken up again, twice stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from surgeon.errors import RunInterruptedError
from surgeon.results.events import Event, Note
from surgeon.results.subscribers import Subscriber

Result = TypeVar("Result")


def until_interrupted(work: Generator[Event, None, Result], tell: Subscriber) -> Generator[Event, None, Result]:
    """Passes events on until a signal asks for the end; then closes the work after its present step.

    In another thread than the main one, which no signal reaches, it passes all of them on.

    Raises:
        RunInterruptedError: After the first signal.
        KeyboardInterrupt: At the second one, wherever the work is.
    """
    asked: list[int] = []
    try:
        with _signals(asked, tell):
            while True:
                try:
                    event = next(work)
                except StopIteration as finished:
                    return finished.value  # type: ignore[no-any-return]
                yield event
                if asked:
                    raise RunInterruptedError(asked[0])
    finally:
        work.close()


@contextmanager
def _signals(asked: list[int], tell: Subscriber) -> Iterator[None]:
    """Notes the first signal in ``asked``; the second one is a KeyboardInterrupt."""

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        tell(Note("stopping after this step; interrupt again to stop immediately"))

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
