"""What a run stood on: its recipe, images, splits, initial weights, releases and machine, as ``lock.json``."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from surgeon.model.processor import processor_name
from surgeon.training.audit import variable_digests
from surgeon.training.run_folder import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan

INPUTS = ("recipe", "images", "splits", "weights")  # parts without which a run would be another one
_FILE = "lock.json"
PACKAGES = ("surgeon", "tensorflow", "keras", "numpy", "scikit-learn", "pillow", "openvino")


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
        "hardware": {"processor": processor_name(), "cores": os.cpu_count(), "machine": platform.machine()},
    }


def write_lock(folder: Path, lock: Mapping[str, Any]) -> None:
    """Writes ``lock.json``."""
    # Of a million images it has 125 MB, and five times as much in memory before it is one text.
    write_whole(folder / _FILE, itertools.chain(json.JSONEncoder(indent=1).iterencode(lock), "\n"))


def read_lock(folder: Path) -> dict[str, Any] | None:
    """Returns what a run stands on, or None if it did not come so far."""
    path = folder / _FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def installed_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Returns the releases of Python and of some packages, by default those that a result depends on."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra
    return versions
