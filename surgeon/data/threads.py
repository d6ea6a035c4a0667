"""Work on images on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from surgeon.catalogue.sources.listing import LabelledImage

BATCH = 64  # images that are in memory at once

Result = TypeVar("Result")


def in_threads(function: Callable[[LabelledImage], Result], images: Sequence[LabelledImage]) -> Iterator[list[Result]]:
    """Yields the results in order, a batch at a time, so that only one batch of them is in memory."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(images), BATCH):
            yield list(pool.map(function, images[start : start + BATCH]))
