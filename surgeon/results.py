"""What a run says while it works, and what it leaves: frozen events and results, with their JSON form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A step of work that a person waits for.

    Attributes:
        task: What is being done, such as ``decode images``.
        done: How many of ``total`` units are finished.
        total: How many there are, or None while nobody knows.
        unit: What is counted, such as ``images`` or ``bytes``.
    """

    task: str
    done: int
    total: int | None
    unit: str
