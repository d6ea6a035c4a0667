"""What the searches suggest for a folder of photographs, and what training by it comes to on the test images.

python benchmarks/searches.py PHOTOS OUT

Every step is a command of surgeon. One whose outcome is in OUT is not run again, so hours of work may be interrupted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from surgeon.planning.cuts import starts_to_try
from surgeon.recipe.compiler import compile_recipe

TRIED_DEPTHS = 4  # spread over the network, besides the head alone
SPACE = {
    "phases[0].lr.cosine.peak": {"log_uniform": [3e-5, 1e-3]},
    "phases[0].label_smoothing": [0.0, 0.1],
    "head[1].dropout": [0.0, 0.2, 0.5],
}


def main() -> None:
    """Runs all steps, and shows what each recipe came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="a folder with a folder for each class")
    parser.add_argument("out", type=Path, metavar="OUT", help="where everything is kept")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each recipe")
    parser.add_argument("--budget", default="20 min", metavar="TIME", help="of the sweep")
    parser.add_argument("--epochs", type=int, default=3, metavar="N", help="of each trial of depth")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    steps = Steps(options.out.resolve())
    steps.surgeon("init.yaml", "init", options.photos.resolve(), "--out", "init.yaml")
    for name, more in (("probe", ()), ("depth", ("--epochs", options.epochs))):
        written = ("--write", f"{name}.yaml", "--chart", f"{name}.png", "--format", "json")
        steps.surgeon(f"{name}.json", name, "init.yaml", *more, *written)
    for name in steps.written():
        repeated = ("--repeat", options.seeds, "--out", name, "--format", "json")
        steps.surgeon(f"{name}-runs.json", "run", f"{name}.yaml", *repeated)
    steps.write_sweep(options.budget)
    resume = ("--resume",) if (steps.folder / "sweep").exists() else ()
    final = ("--final", options.seeds, "--chart", "sweep.png", "--format", "json")
    steps.surgeon("sweep.json", "sweep", "sweep.yaml", "--out", "sweep", *resume, *final)
    steps.show()


@dataclass(frozen=True)
class Steps:
    """Commands of surgeon that work in one folder."""

    folder: Path

    def surgeon(self, outcome: str, *arguments: object) -> None:
        """Runs a command, unless what it said or wrote is there."""
        file = self.folder / outcome
        if file.exists():
            return
        command = [sys.executable, "-m", "surgeon", *map(str, arguments)]
        Console(stderr=True).print(f"surgeon {' '.join(command[3:])}", highlight=False)
        said = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=False).stdout
        if "json" in arguments:
            json.loads(said)  # what a search found is said before it is written into a recipe, which may fail
            file.write_text(said, encoding="utf-8")

    def written(self) -> list[str]:
        """Returns the recipes to compare; where what a search found does not fit the rest, it wrote none."""
        return [name for name in ("init", "probe", "depth") if (self.folder / f"{name}.yaml").exists()]

    def write_sweep(self, budget: str) -> None:
        """Writes a recipe that sweeps what is trained, how fast, and how that is regularized."""
        plan = compile_recipe(self.folder / "init.yaml")
        starts = starts_to_try(plan.network, TRIED_DEPTHS, plan.recipe["phases"][0]["trainable"])
        vary = {"phases[0].trainable": ["head", *starts], **SPACE}
        values = {"extends": "init.yaml", "name": "sweep", "sweep": {"vary": vary, "budget": budget}}
        (self.folder / "sweep.yaml").write_text(yaml.safe_dump({"recipe": 1, **values}, sort_keys=False))

    def show(self) -> None:
        """Prints the test accuracy of each recipe, its mean and spread over seeds."""
        table = Table(title=self.folder.name)
        for column in ("recipe", "test accuracy", "each seed"):
            table.add_column(column)
        for name, values in self._figures().items():
            table.add_row(name, f"{values['mean']:.4f} ± {values['std']:.4f}", _each(values["values"]))
        Console().print(table)

    def _figures(self) -> Mapping[str, Any]:
        found = {}
        for name in self.written():
            repeated = json.loads((self.folder / f"{name}-runs.json").read_text(encoding="utf-8"))
            found[name] = repeated["figures"]["network accuracy"]
        final = json.loads((self.folder / "sweep.json").read_text(encoding="utf-8"))["final"]
        return {**found, "sweep": final["figures"]["accuracy"]}


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


if __name__ == "__main__":
    main()
