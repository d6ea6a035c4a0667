"""Writes docs/benchmarks.md and docs/benchmarks.svg from what the benchmarks found.

python benchmarks/report.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from outcome import RESULTS, spell

DOCS = Path(__file__).resolve().parents[1] / "docs"
ORDER = (
    "headline",
    "warm_up",
    "block5",
    "whole",
    "again",
    "frozen_pass",
    "frozen_batch_norm",
    "sweep",
    "flat_step",
    "nautilus",
    "probe_pass",
    "growth",
    "serving",
    "deterministic",
)
_HEAD = """# Benchmarks

Generated from `benchmarks/results/` by `python benchmarks/report.py`.

Each benchmark is one command. It runs `surgeon` and its peers one after the other, each as a process of its own, on the
same images, in batches of 32, on all cores; surgeon through its command line, its searches from Python, the peers as
their users write them (`benchmarks/peers/`). A ratio says how many times longer a peer takes than surgeon: above 1
surgeon is faster. PyTorch is optional: `pip install --group benchmarks`.

![How many times longer the peers take](benchmarks.svg)
"""
_LONGER, _SHORTER = "#1f77b4", "#d9480f"


def main() -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="what the benchmarks wrote")
    parser.add_argument("--docs", type=Path, default=DOCS, metavar="FOLDER", help="where both files go")
    options = parser.parse_args()
    files = [options.results / f"{name}.json" for name in ORDER]
    outcomes = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
    if not outcomes:
        parser.error(f"there are no results in {options.results}; run the benchmarks first")
    (options.docs / "benchmarks.md").write_text("\n".join([_HEAD, *map(_section, outcomes)]), encoding="utf-8")
    _draw([outcome for outcome in outcomes if outcome["ratios"]], options.docs / "benchmarks.svg")


def _section(outcome: Mapping[str, Any]) -> str:
    machine = outcome["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    measured = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB; {outcome['date']}; {versions}."
    settings = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in outcome["settings"].items())
    rows = [outcome["columns"], [":--"] + ["--:"] * (len(outcome["columns"]) - 1)]
    rows += [[spell(cell) for cell in row] for row in outcome["rows"]]
    lines = [
        f"## {outcome['title']}\n",
        f"{fill(outcome['compared'], 120)}\n",
        f"```console\n$ python benchmarks/{outcome['name']}.py {settings}\n```\n",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        *(fill(f"- {note}", 120, subsequent_indent="  ") for note in (*outcome["notes"], measured)),
    ]
    return "\n".join(lines) + "\n"


def _draw(outcomes: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws a bar a ratio, those of a benchmark together, from 1 on a logarithmic axis."""
    figure = Figure(
        figsize=(9, 0.6 + sum(0.45 + 0.24 * len(outcome["ratios"]) for outcome in outcomes)), layout="constrained"
    )
    heights = [len(outcome["ratios"]) + 0.8 for outcome in outcomes]
    all_axes = figure.subplots(len(outcomes), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, outcome in zip(all_axes, outcomes, strict=True):
        names, ratios = list(outcome["ratios"]), list(outcome["ratios"].values())
        colours = [_LONGER if ratio >= 1 else _SHORTER for ratio in ratios]
        bars = axes.barh(names, [ratio - 1 for ratio in ratios], left=1, color=colours, height=0.7)
        axes.bar_label(bars, [spell(ratio) for ratio in ratios], padding=3, fontsize=8)
        axes.set(xscale="log", ylim=(len(names) - 0.4, -0.6))
        axes.set_title(outcome["title"], loc="left", fontsize=10, fontweight="bold")
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.axvline(1, color="0.3", linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
    every = [ratio for outcome in outcomes for ratio in outcome["ratios"].values()]
    last = all_axes[-1]
    last.set(xlim=(min(1, *every) / 1.6, max(1, *every) * 1.6), xlabel="how many times longer than surgeon (log)")
    last.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    last.xaxis.set_major_formatter("{x:g}")
    last.xaxis.set_minor_locator(NullLocator())
    with mpl.rc_context({"svg.hashsalt": "surgeon"}):  # the same figures make the same file
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
