"""What a run stood on: its recipe, images, splits, initial weights, releases and machine, as ``lock.json``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgeon.training.audit import variable_digests

if TYPE_CHECKING:
    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan

PACKAGES = ("surgeon", "tensorflow", "keras", "numpy", "scikit-learn", "pillow", "openvino")
_CPU_INFO = Path("/proc/cpuinfo")


def build_lock(plan: Plan, dataset: Dataset, network: Any) -> dict[str, Any]:
    """Returns what a run stands on, as JSON values.

    Args:
        plan: The plan.
        dataset: Its images.
        network: With its initial weights.
    """
    return {
        "recipe": plan.recipe,
        "images": dict(zip(dataset.names, dataset.digests, strict=True)),
        "splits": dict(zip(dataset.names, dataset.splits, strict=True)),
        "weights": variable_digests(network),
        "versions": installed_versions(),
        "hardware": {"processor": _processor(), "cores": os.cpu_count(), "machine": platform.machine()},
    }


def write_lock(folder: Path, lock: Mapping[str, Any]) -> None:
    """Writes ``lock.json``."""
    partial = folder / "lock.json.partial"
    partial.write_text(json.dumps(lock, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / "lock.json")


def installed_versions() -> dict[str, str]:
    """Returns the releases of Python and of the packages that a result depends on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra
    return versions


def _processor() -> str:
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
