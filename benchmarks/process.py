"""Runs Python as a process of its own, and measures its time and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Finished:
    """A process that ended well.

    Attributes:
        seconds: From its start to its end.
        anonymous: The most bytes of its own that it held in memory at once; 0 where nobody can tell.
        file_mapped: The most bytes of mapped files that it held there at once.
    """

    seconds: float
    anonymous: int
    file_mapped: int


def run_python(label: str, arguments: Sequence[object], **environment: object) -> Finished:
    """Runs Python in the repository's root and says how long it took.

    Raises:
        RuntimeError: With the end of what it said, if it fails.
    """
    anonymous = file_mapped = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={
                "TF_CPP_MIN_LOG_LEVEL": "3",
                **os.environ,
                **{name: str(value) for name, value in environment.items()},
            },
        )
        while process.poll() is None:
            now_anonymous, now_mapped = _memory(process.pid)
            anonymous, file_mapped = max(anonymous, now_anonymous), max(file_mapped, now_mapped)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
        seconds = time.perf_counter() - started
        said.seek(0)
        if process.returncode:
            raise RuntimeError(f"{label} failed with exit status {process.returncode}:\n{said.read()[-3000:]}")
    Console(stderr=True).print(f"{label}: {seconds:,.1f} s")
    return Finished(seconds, anonymous, file_mapped)


def _memory(pid: int) -> tuple[int, int]:
    """Returns the bytes of its own and those of mapped files that a process holds in memory now."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux, or it has just ended
        return 0, 0
    kilobytes = {
        name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "Rss" in name
    }
    return kilobytes.get("RssAnon", 0) << 10, kilobytes.get("RssFile", 0) << 10
