"""What a run stood on: its recipe, images, splits, initial weights, releases and machine, as ``lock.json``."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgeon.errors import SurgeonError
from surgeon.training.audit import variable_digests

if TYPE_CHECKING:
    from surgeon.data.dataset import Dataset
    from surgeon.recipe.plan import Plan

FILE = "lock.json"
PACKAGES = ("surgeon", "tensorflow", "keras", "numpy", "scikit-learn", "pillow", "openvino")
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Difference:
    """One thing in which two locks differ.

    Attributes:
        aspect: ``recipe``, ``images``, ``splits``, ``weights``, ``versions`` or ``hardware``.
        name: Which value, image, variable or package.
        before: What it was; None if it was not there.
        now: What it is; None if it is not there.
    """

    aspect: str
    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.aspect}: {self.name} was {_short(self.before)}, is {_short(self.now)}"


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
    partial = folder / f"{FILE}.partial"
    partial.write_text(json.dumps(lock, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / FILE)


def read_lock(folder: Path) -> dict[str, Any]:
    """Returns the lock of a run.

    Raises:
        SurgeonError: If it has none, or a damaged one.
    """
    try:
        return dict(json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SurgeonError(
            f"{folder} has no {FILE} that can be read: {error}", "name the folder of a run that reached its training"
        ) from error


def compare_locks(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """Yields every difference between two locks."""
    for aspect in ("recipe", "images", "splits", "weights", "versions", "hardware"):
        one, other = _leaves(before.get(aspect, {})), _leaves(now.get(aspect, {}))
        for name in sorted(one.keys() | other):
            if one.get(name) != other.get(name):
                yield Difference(aspect, name, one.get(name), other.get(name))


def installed_versions() -> dict[str, str]:
    """Returns the releases of Python and of the packages that a result depends on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra
    return versions


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Returns the scalars of nested values by their path."""
    if isinstance(value, Mapping) and value:
        nested = [_leaves(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()]
    elif isinstance(value, list) and value:
        nested = [_leaves(item, f"{path}[{at}]") for at, item in enumerate(value)]
    else:
        return {path: value}
    return {name: leaf for leaves in nested for name, leaf in leaves.items()}


def _processor() -> str:
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
