"""Epochs as TensorBoard reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from surgeon.results.events import EpochEnded, Event


def log_epochs(folder: Path) -> Callable[[Event], None]:
    """Returns a function that logs each epoch's figures; a phase's have its name before theirs."""
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder))

    def log(event: Event) -> None:
        if isinstance(event, EpochEnded):
            with writer.as_default(step=event.epoch):
                for name, value in event.figures.items():
                    tf.summary.scalar(f"{event.phase}/{name}", value)
            writer.flush()

    return log
