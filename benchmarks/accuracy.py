"""What recipes come to on folders of photographs: a linear probe, what init writes, single changes of it, and Keras.

python benchmarks/accuracy.py OUT PHOTOS [PHOTOS...]

Each training is a command of surgeon whose outcome stays in OUT, so it may be run in pieces: what is finished is not
trained again, and what was stopped goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from surgeon.cells import read_rows
from surgeon.model.surgery import open_backbone
from surgeon.recipe.compiler import compile_recipe

PROBE, INIT, KERAS = "linear probe", "init", "Keras"
FORMER, LP_FT = "init, formerly", "LP-FT"
_FORMER_PHASES = (
    "[{name: warm-up, trainable: head, lr: 0.001, epochs: 10}, "
    "{name: fine-tune, trainable: block6a_expand_conv.., lr: {cosine: {peak: 1.0e-4}}, epochs: 20, "
    "until: {monitor: val_loss, patience: 5}}]"
)
_TUNED = "phases[0]"
# What is set in the recipe that init writes, where PHOTOS is the folder of photographs.
METHODS: Mapping[str, Sequence[str]] = {
    INIT: (),
    FORMER: (
        "augment={views: 4, flip: horizontal, rotation: 0.05}",
        "head=[global_average_pooling, dropout: 0.2, dense: {units: classes, activation: softmax}]",
        f"phases={_FORMER_PHASES}",
    ),
    LP_FT: ("augment={}", f"{_TUNED}.trainable=all", f"{_TUNED}.lr={{cosine: {{peak: 1.0e-4}}}}"),
    "resize: crop": ("data.resize=crop",),
    "resize: pad": ("data.resize=pad",),
    "interpolation: bicubic": ("data.interpolation=bicubic",),
    "no changes of images": ("augment={}",),
    "rand_augment": ("augment.rand_augment=0.3",),
    "erasing": ("augment.erasing=0.5",),
    # What mixes the images of a batch makes changed copies anew in every epoch.
    "no views": ("augment={flip: horizontal, rotation: 0.05}",),
    "mix_up": ("augment={flip: horizontal, rotation: 0.05, mix_up: 0.2}",),
    "cut_mix": ("augment={flip: horizontal, rotation: 0.05, cut_mix: 0.5}",),
    "mix_up of features": ("augment.mix_up={alpha: 0.2, of: features}",),
    "brightness of features": ("augment.brightness={factor: 0.2, of: features}",),
    "test_time_augmentation: flip": ("test_time_augmentation=flip",),
    "loss: focal": (f"{_TUNED}.loss=focal",),
    "sample: balanced": (f"{_TUNED}.class_weight=null", f"{_TUNED}.sample=balanced"),
    "no label smoothing": (f"{_TUNED}.label_smoothing=0.0",),
    "layer_decay: 0.8": (f"{_TUNED}.layer_decay=0.8",),
    "anchor: 0.01": (f"{_TUNED}.anchor=0.01",),
    "average: 0.5": (f"{_TUNED}.average=0.5",),
    "precision: auto": ("precision=auto",),
    "10 epochs, 6 views": ("precision=auto", f"{_TUNED}.epochs=10", f"{_TUNED}.until.patience=10", "augment.views=6"),
    "official split": ("data.source={folder: {path: PHOTOS, split_pattern: '^(train|val|test)_'}}",),
    "leaves apart": ("data.split.group={pattern: '^[a-z]+_([0-9]+)_'}",),  # the number of the photographed coffee leaf
    "trained from block6a": (f"{_TUNED}.trainable=block6a_expand_conv..",),
    "trained from block2a": (f"{_TUNED}.trainable=block2a_expand_conv..",),
}


def main() -> None:
    """Trains what is missing, and shows what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="where everything is kept")
    parser.add_argument("photos", type=Path, nargs="*", metavar="PHOTOS", help="folders of class folders")
    parser.add_argument(
        "--methods", nargs="+", default=[INIT], metavar="NAME", help=f"of {'; '.join([*METHODS, KERAS])}"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each recipe")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the figures into this file")
    options = parser.parse_args()
    if unknown := set(options.methods) - {*METHODS, KERAS}:
        parser.error(f"no method is called {', '.join(sorted(unknown))}")
    if len({photos.name for photos in options.photos}) < len(options.photos):
        parser.error("two of the folders have one name")
    for method in options.methods:
        for photos in options.photos:
            dataset = DataSet(options.out.resolve() / photos.name, photos.resolve())
            if method == KERAS:
                dataset.train_in_keras()
            else:
                dataset.train(method, options.seeds)
    sets = {
        folder.name: DataSet(folder, folder).figures() for folder in sorted(options.out.iterdir()) if folder.is_dir()
    }
    _show(sets)
    if options.chart:
        _draw(sets, options.chart)


@dataclass(frozen=True)
class DataSet:
    """What is trained on a folder of photographs, in a folder of its own."""

    folder: Path
    photos: Path

    def train(self, method: str, seeds: int) -> None:
        """Trains a recipe with some seeds, as far as that was not done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        recipe = self.folder / "init.yaml"
        if not recipe.exists():
            self._surgeon("init", self.photos, "--out", recipe)
        runs = self.folder / method
        if len(list(runs.glob("seed-*/result.json"))) < seeds:
            chosen = (setting.replace("PHOTOS", str(self.photos)) for setting in METHODS[method])
            settings = [part for setting in chosen for part in ("--set", setting)]
            self._surgeon("run", recipe, "--repeat", max(seeds, 2), "--out", runs, "--quiet", *settings)

    def train_in_keras(self) -> None:
        """Trains the script on the images of the first run's splits."""
        result = self.folder / f"{KERAS}.json"
        if result.exists():
            return
        self.train(INIT, 1)
        laid_out = self.folder / "laid-out"
        shutil.rmtree(laid_out, ignore_errors=True)
        with (self.folder / INIT / "seed-0" / "splits.csv").open(newline="", encoding="utf-8") as text:
            _, *rows = read_rows(text)
        splits, labels = {split for _, _, split, _ in rows}, {label for _, label, _, _ in rows}
        for split, label in itertools.product(splits, labels):  # Keras numbers the folders that there are
            (laid_out / split / label).mkdir(parents=True)
        for file, label, split, _ in rows:
            (laid_out / split / label / file.replace("/", "_")).symlink_to(self.photos / file)
        plan, weights = compile_recipe(self.folder / "init.yaml"), self.folder / "backbone.weights.h5"
        open_backbone(plan.backbone, plan.data.image_size).save_weights(weights)
        script = Path(__file__).with_name("peers") / "keras_tuned.py"
        subprocess.run([sys.executable, script, laid_out, weights, result], check=True)

    def _surgeon(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "surgeon", *map(str, arguments)]
        Console(stderr=True).print(f"surgeon {' '.join(command[3:])}", highlight=False)
        subprocess.run(command, cwd=self.folder, stdout=subprocess.DEVNULL, check=True)

    def figures(self) -> dict[str, list[float]]:
        """Returns the balanced accuracy of each run of each method, as far as there are any."""
        found = {
            method: [self._balanced(result, "evaluation") for result in self._results(method)] for method in METHODS
        }
        found[PROBE] = [self._balanced(result, "linear_probe") for result in self._results(INIT)]
        script = self.folder / f"{KERAS}.json"
        found[KERAS] = [_balanced_of(json.loads(script.read_text(encoding="utf-8")))] if script.exists() else []
        return {method: values for method, values in found.items() if values}

    def _results(self, method: str) -> list[dict[str, Any]]:
        files = sorted((self.folder / method).glob("seed-*/result.json"))
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]

    @staticmethod
    def _balanced(result: Mapping[str, Any], measured: str) -> float:
        return statistics.fmean(one["recall"] for one in result[measured]["per_class"] if one)


def _balanced_of(told: Mapping[str, Any]) -> float:
    """Returns the mean recall of what the script told."""
    hits: dict[int, list[bool]] = {}
    for label, predicted in zip(told["labels"], told["predicted"], strict=True):
        hits.setdefault(label, []).append(label == predicted)
    return statistics.fmean(map(statistics.fmean, hits.values()))


def _show(sets: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Prints the balanced accuracy of each method on each set, and its errors in those of the linear probe."""
    table = Table(title="balanced accuracy on the test images")
    for column in ("method", *sets, "errors, in those of the probe"):
        table.add_column(column)
    for method in _measured(sets):
        cells = [_spell(figures.get(method, ())) for figures in sets.values()]
        table.add_row(method, *cells, _errors(method, sets.values()))
    Console(width=200).print(table)


def _measured(sets: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """Returns the methods that have figures."""
    return [method for method in (PROBE, KERAS, *METHODS) if any(method in figures for figures in sets.values())]


def _spell(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{spread}"


def _errors(method: str, sets: Iterable[Mapping[str, Sequence[float]]]) -> str:
    """Returns the geometric mean over the sets whose probe makes errors, each counted as at least a quarter."""
    ratios = []
    for figures in sets:
        if method in figures and PROBE in figures and (wrong := 1 - statistics.fmean(figures[PROBE])) > 0:
            ratios.append(max((1 - statistics.fmean(figures[method])) / wrong, 0.25))
    return f"{math.exp(statistics.fmean(map(math.log, ratios))):.2f} of {len(ratios)} sets" if ratios else ""


def _draw(sets: Mapping[str, Mapping[str, Sequence[float]]], file: Path) -> None:
    """Draws the mean error of each way to train on each set, and its spread over the seeds; not of single keys."""
    methods = [method for method in _measured(sets) if method in (PROBE, KERAS, INIT, FORMER, LP_FT)]
    figure = Figure(figsize=(7, 1 + 0.2 * len(sets) * (len(methods) + 1)), layout="constrained")
    axes = figure.add_subplot()
    for at, method in enumerate(methods):
        rows = [(row, figures[method]) for row, figures in enumerate(sets.values()) if method in figures]
        axes.errorbar(
            [1 - statistics.fmean(values) for _, values in rows],
            [row + (at + 1) / (len(methods) + 1) - 0.5 for row, _ in rows],
            xerr=[statistics.stdev(values) if len(values) > 1 else 0 for _, values in rows],
            fmt="osD^vPX*"[at % 8],
            capsize=3,
            label=method,
        )
    axes.set_yticks(range(len(sets)), list(sets))
    axes.set_xlim(left=0)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("1 - balanced accuracy, mean and standard deviation over seeds")
    figure.legend(loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
