"""What the processor is and can do, as Linux tells; other systems tell less."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


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


def bfloat16_support() -> bool | None:
    """Returns whether the processor computes in bfloat16, or None where that is unknown."""
    flags = cpu_flags()
    return None if flags is None else bool(flags & _BFLOAT16_FLAGS)


def bfloat16_note() -> str | None:
    """Returns what to tell a person who asks for bfloat16, or None if the processor has it."""
    support = bfloat16_support()
    if support:
        return None
    if support is None:
        return "it is unknown whether this processor computes in bfloat16; if not, float32 is faster and more exact"
    return "this processor does not compute in bfloat16; precision: float32 is faster on it and more exact"
