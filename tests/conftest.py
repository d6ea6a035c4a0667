from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from surgeon.results import Progress

# A machine that does other things besides is slow at times.
settings.register_profile("surgeon", deadline=None)
settings.load_profile("surgeon")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder of data sets and weights that stands in for the internet."""
    folder = os.environ.get("SURGEON_MIRROR")
    if not folder:
        pytest.skip("SURGEON_MIRROR does not name a mirror")
    return Path(folder)


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """Writes a small image whose content follows from a seed, in the format of the file's suffix."""

    def write(file: Path, seed: int, size: tuple[int, int] = (12, 10)) -> Path:
        height, width = size
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        return file

    return write


@pytest.fixture
def finish() -> Callable[[Generator[Progress, None, Any]], tuple[Any, list[Progress]]]:
    """Does a piece of long work to its end; returns its result and its events."""

    def run(work: Generator[Progress, None, Any]) -> tuple[Any, list[Progress]]:
        events = []
        while True:
            try:
                events.append(next(work))
            except StopIteration as stop:
                return stop.value, events

    return run
