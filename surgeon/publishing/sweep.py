"""The page of a sweep."""

from __future__ import annotations

from pathlib import Path

from surgeon.report.sweep import next_commands
from surgeon.report.sweep_page import render_sweep
from surgeon.runs.folder import write_whole
from surgeon.runs.sweep_folder import BEST, read_sweep


def write_sweep_page(folder: Path, out: Path) -> None:
    """Writes a sweep, ended or not, as one page that needs nothing else.

    Raises:
        UsageError: If the folder holds no sweep, or one of which no trial has ended.
        SurgeonError: If a file is damaged.
    """
    result, best = read_sweep(folder), folder / BEST
    recipe = best.read_text(encoding="utf-8") if best.exists() else ""
    write_whole(out, render_sweep(result, recipe, next_commands(folder)))
