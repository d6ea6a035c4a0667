"""What a run stood on: its recipe, images, splits, initial weights, releases and machine, as ``lock.json``."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import surgeon
from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.sources import SOURCES
from surgeon.planning.processor import processor_name
from surgeon.records import read_record
from surgeon.runs.folder import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan

INPUTS = ("recipe", "images", "splits", "weights")  # parts without which a run would be another one
_FILE = "lock.json"
_VERSION = 1
_MOST_BYTES = 4 << 30  # a million images take 125 MB
PACKAGES = ("surgeon", "tensorflow", "keras", "numpy", "scikit-learn", "pillow", "openvino")


class Lock(TypedDict):
    """What a run stands on, as JSON values."""

    recipe: dict[str, Any]
    images: dict[str, str]
    splits: dict[str, str]
    weights: dict[str, str]
    versions: dict[str, str]
    hardware: dict[str, Any]


def build_lock(plan: Plan, dataset: Dataset, weights: Mapping[str, str]) -> Lock:
    """Returns what a run stands on.

    Args:
        plan: The plan.
        dataset: Its images.
        weights: The digest of each initial weight, by its path.
    """
    return {
        "recipe": dict(plan.recipe),
        "images": dict(zip(dataset.names, dataset.digests, strict=True)),
        "splits": dict(zip(dataset.names, dataset.splits, strict=True)),
        "weights": dict(weights),
        "versions": installed_versions((*PACKAGES, *_packages_of(plan))),
        "hardware": {"processor": processor_name(), "cores": os.cpu_count(), "machine": platform.machine()},
    }


def write_lock(folder: Path, lock: Lock) -> None:
    """Writes ``lock.json``."""
    # Of a million images it has 125 MB, and five times as much in memory before it is one text.
    pieces = json.JSONEncoder(indent=1).iterencode({"version": _VERSION, **lock})
    write_whole(folder / _FILE, itertools.chain(pieces, "\n"))


def read_lock(folder: Path) -> Lock | None:
    """Returns what a run stands on, or None if it did not come so far.

    Raises:
        SurgeonError: If the file is damaged.
    """
    path = folder / _FILE
    remedy = "restore it from a copy, or run the recipe again; nothing else records the inputs of the run"
    return read_record(path, Lock, _MOST_BYTES, remedy, _VERSION) if path.exists() else None


def _packages_of(plan: Plan) -> list[str]:
    """Returns the packages that add what a plan names to surgeon's catalogue."""
    entries = (BACKBONES.get(str(plan.backbone.name)), SOURCES.get(plan.data.source.name))
    return sorted({entry.package for entry in entries if entry is not None and entry.package is not None})


def installed_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Returns the releases of Python and of some packages, by default those that a result depends on."""
    versions = {"python": platform.python_version()}
    for package in packages:
        if package == "surgeon":  # which pip knows by another name, and has not always installed
            versions[package] = surgeon.__version__
            continue
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra
    return versions
