"""The machine that was measured on: what it is, and how fast it multiplies matrices."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

_PACKAGES = ("surgeon", "tensorflow", "keras", "numpy", "openvino", "torch")
_PEAK_SIDE = 4096
_SECONDS = 2  # how long a product is tried for


def describe_machine() -> dict[str, Any]:
    """Returns the processor, its cores, the memory and the releases of what was measured."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.system(),
        "versions": {"python": platform.python_version(), **_versions()},
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


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor that has no name there
        return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
