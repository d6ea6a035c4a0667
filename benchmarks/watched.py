"""Runs a search through surgeon's front door and writes what it came to, with the time of what it said meanwhile.

python benchmarks/watched.py sweep RECIPE --folder FOLDER --out FILE
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import surgeon
from surgeon.recipe.compiler import compile_recipe
from surgeon.results.events import Event, FeaturesKept, Progress


class Watch:
    """A subscriber that notes when each task was first and last heard of, and which features were kept."""

    def __init__(self) -> None:
        self.tasks: dict[str, list[float]] = {}
        self.kept: list[dict[str, Any]] = []
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long it has been watching."""
        return time.perf_counter() - self._started

    def note(self, event: Event) -> None:
        """Notes an event."""
        if isinstance(event, FeaturesKept):
            self.kept.append(dataclasses.asdict(event))
        elif isinstance(event, Progress):
            now = self.seconds
            self.tasks.setdefault(event.task, [now, now])[1] = now


def main() -> None:
    """Runs the search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("sweep", "probe"))
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="as in surgeon run")
    parser.add_argument("--folder", type=Path, help="where the sweep goes")
    parser.add_argument("--every-layer", action="store_true", help="as in surgeon probe")
    parser.add_argument("--out", type=Path, required=True, help="where all this is written, as JSON")
    options = parser.parse_args()
    watch = Watch()
    plan = compile_recipe(options.recipe, options.set)
    found: Any
    if options.what == "sweep":
        found = surgeon.sweep(plan, options.folder, on_event=watch.note)
    else:
        found = surgeon.probe(plan, every_layer=options.every_layer, on_event=watch.note)
    said = {"seconds": watch.seconds, "tasks": watch.tasks, "kept": watch.kept, "result": dataclasses.asdict(found)}
    options.out.write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
