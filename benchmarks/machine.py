"""The machine that was measured on: what it is, and how fast it multiplies matrices."""

from __future__ import annotations

import math
import os
import platform
import time
from typing import Any

import numpy as np
import psutil

from surgeon.planning.processor import processor_name
from surgeon.runs.lock import installed_versions

_PACKAGES = ("surgeon", "tensorflow", "keras", "numpy", "openvino", "torch")
_PEAK_SIDE = 4096
_SECONDS = 2  # how long a product is tried for


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
