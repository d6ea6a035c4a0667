"""How fast this machine is, measured in a moment."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Matrices so small that each is multiplied on one core: cores that never wait for each other tell what they can do
# even if somebody else is using some of them.
_MATRICES, _SIDE = 256, 64
_COPIED = 64 << 20  # bytes in all, more than most caches hold
_SECONDS = 0.1  # for each of the two measurements


@dataclass(frozen=True)
class Machine:
    """What a processor can do.

    Attributes:
        multiply_adds_per_second: Of float32 matrix products on all cores.
        bytes_per_second: That copies in memory on all cores read and write together.
        memory: Bytes of memory that are free now.
    """

    multiply_adds_per_second: float
    bytes_per_second: float
    memory: int


def measure_machine() -> Machine:
    """Measures this machine for about 0.2 seconds; the best of many tries is what it does when it is idle."""
    cores = os.cpu_count() or 1
    factor = np.full((_SIDE, _SIDE), 0.5, np.float32)
    matrices = np.ones((cores, _MATRICES, _SIDE, _SIDE), np.float32)
    copied = np.ones((cores, _COPIED // cores), np.uint8)

    def multiply(source: NDArray[Any], target: NDArray[Any]) -> None:
        np.matmul(source, factor, out=target)

    def copy(source: NDArray[Any], target: NDArray[Any]) -> None:
        np.copyto(target, source)

    multiplying, copying = _best_seconds(multiply, matrices), _best_seconds(copy, copied)
    return Machine(
        multiply_adds_per_second=matrices.size * _SIDE / multiplying,
        bytes_per_second=2 * copied.nbytes / copying,
        memory=psutil.virtual_memory().available,
    )


def _best_seconds(work: Callable[[NDArray[Any], NDArray[Any]], None], sources: NDArray[Any]) -> float:
    """Returns the least seconds of ``work`` on all cores, each with its source and target; the first try warms up."""
    targets = np.empty_like(sources)
    with ThreadPoolExecutor(len(sources)) as pool:

        def seconds() -> float:
            started = time.perf_counter()
            list(pool.map(work, sources, targets))
            return time.perf_counter() - started

        best, end = seconds(), time.perf_counter() + _SECONDS
        while time.perf_counter() < end:
            best = min(best, seconds())
    return best
