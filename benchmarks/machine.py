"""The machine that was measured on: what it is, how fast it multiplies matrices and how fast it moves memory."""

from __future__ import annotations

import math
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psutil

from surgeon.planning.processor import processor_name
from surgeon.runs.lock import installed_versions

_PACKAGES = ("surgeon", "tensorflow", "keras", "numpy", "openvino", "torch")
_PEAK_SIDE = 4096
_SECONDS = 2  # how long a product is tried for
_MOVED = 1 << 26  # values of each of two arrays, far more than any cache holds


def describe_machine() -> dict[str, Any]:
    """Returns the processor, its cores, the memory and the releases of what was measured."""
    return {
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.system(),
        "versions": installed_versions(_PACKAGES),
    }


def product_seconds(rows: int, inner: int, columns: int) -> float:
    """Returns how long NumPy takes for (rows, inner) times (inner, columns) in float32, the best of many times."""
    random = np.random.default_rng(0)
    left = random.random((rows, inner), np.float32)
    right = random.random((inner, columns), np.float32)
    best, begun = math.inf, time.perf_counter()
    while time.perf_counter() - begun < _SECONDS:
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return best


def peak_multiply_adds() -> float:
    """Returns the float32 multiply-adds a second of a large matrix product in NumPy."""
    return _PEAK_SIDE**3 / product_seconds(_PEAK_SIDE, _PEAK_SIDE, _PEAK_SIDE)


def memory_bandwidth() -> float:
    """Returns the bytes a second that all cores move as they add an array to another, the best of many times.

    Two values are read and one is written where one was read, as an optimizer does; memory that is written without
    having been read costs more.
    """
    cores = os.cpu_count() or 1
    total, added = np.zeros(_MOVED, np.float32), np.ones(_MOVED, np.float32)
    parts = list(zip(np.array_split(total, cores), np.array_split(added, cores), strict=True))
    best, begun = math.inf, time.perf_counter()
    with ThreadPoolExecutor(cores) as threads:
        while time.perf_counter() - begun < _SECONDS:
            started = time.perf_counter()
            list(threads.map(lambda part: np.add(part[0], part[1], out=part[0]), parts))
            best = min(best, time.perf_counter() - started)
    return 3 * total.nbytes / best
