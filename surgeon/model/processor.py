"""What the processor is and can do, as Linux tells; other systems tell less."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str] | None:
    """Returns the instruction sets of the processor as Linux spells them, or None where Linux does not say."""
    value = _field(cpuinfo, ("flags", "Features"))  # of x86, of ARM
    return None if value is None else frozenset(value.split())


def processor_name(cpuinfo: Path = _CPUINFO) -> str:
    """Returns what the processor is called, or at least its architecture."""
    return _field(cpuinfo, ("model name",)) or platform.processor() or platform.machine()


def _field(cpuinfo: Path, names: tuple[str, ...]) -> str | None:
    """Returns the first field with one of some names."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return None
