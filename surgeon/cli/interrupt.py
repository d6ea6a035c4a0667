"""Ctrl-C and SIGTERM: once stops long work where it can be taken up again, twice stops it at once."""

from __future__ import annotations

import signal
from collections.abc import Generator
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from surgeon.errors import SurgeonError

if TYPE_CHECKING:
    from surgeon.report.terminal import Terminal
    from surgeon.results.events import Event

Result = TypeVar("Result")


class RunInterruptedError(SurgeonError):
    """A person or the system asked for the end; the exit code is 128 and the signal's number, as a shell has it."""

    def __init__(self, number: int, hint: str | None = None) -> None:
        super().__init__("interrupted", hint)
        self.exit_code = 128 + number


def until_interrupted(work: Generator[Event, None, Result], console: Terminal) -> Generator[Event, None, Result]:
    """Passes events on until a signal asks for the end; then closes the work behind its present step.

    Raises:
        RunInterruptedError: After the first signal.
        KeyboardInterrupt: At the second one, wherever the work is.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        console.show("stopping after this step; once more to stop at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
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
        for number, handler in before.items():
            signal.signal(number, handler)
