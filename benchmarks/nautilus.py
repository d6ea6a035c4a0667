"""The search space of Nautilus: depths, batch sizes and rates, as one sweep and as runs alone.

python benchmarks/nautilus.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench import HEADS, HERE, Bench, images_of, open_search_bench
from outcome import Cell, Outcome, publish, read_options
from rounds import Round, at_least, at_most, over, rounds_taken

from surgeon.catalogue.layer_table import LayerRow, ancestors
from surgeon.planning.frontier import epoch_multiply_adds, frozen_prefix, multiply_adds, phase_frontiers
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.plan import Plan
from surgeon.text import counted

RECIPE = HERE / "recipes" / "nautilus.yaml"
DEPTHS = ("head", "block5_conv1..", "block4_conv1..", "block3_conv1..")
BATCHES = (16, 32)
RATES = (3e-5, 1e-4, 3e-4)
DEPTH = "phases[0].trainable"
SWEEP, ALONE, LOOP, LEAST = "the sweep", "the runs alone", "Keras, every layer in every epoch", "the least possible"
_WORK, _SEARCH = ", multiply-adds", ", without starts"


@dataclass(frozen=True)
class Arithmetic:
    """The multiply-adds of training one depth.

    Attributes:
        plan: Of a trial.
        images: How many are trained on, and how many are validated on.
    """

    plan: Plan
    images: tuple[int, int]

    @cached_property
    def frozen(self) -> frozenset[str]:
        """The layers that no step changes."""
        return frozen_prefix(self.plan.network, self.plan.phases[0].trainable)

    @property
    def trained(self) -> int:
        """Of all layers behind the frozen ones in all epochs: each once per trial and epoch, and twice backward."""
        train, validated = self.images
        behind = sum(multiply_adds(row) for row in self.plan.network.rows if row.name not in self.frozen)
        return self.plan.phases[0].epochs * (3 * train + validated) * behind

    @property
    def executed(self) -> int:
        """The same with the frozen layers that surgeon repeats in every epoch, since it keeps an earlier tensor."""
        train, validated = self.images
        network, phase = self.plan.network, self.plan.phases[0]
        frontier, _ = phase_frontiers(self.plan, 1)
        epoch = epoch_multiply_adds(network, phase.trainable, frontier)
        behind = (epoch - frontier.repeated) // 3
        return phase.epochs * (train * epoch + validated * (frontier.repeated + behind))

    @property
    def every_epoch(self) -> int:
        """The same if nothing is kept, and every image goes through all frozen layers in every epoch."""
        frozen = sum(multiply_adds(row) for row in self.plan.network.rows if row.name in self.frozen)
        return self.trained + self.plan.phases[0].epochs * sum(self.images) * frozen


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=340, epochs=10, depths=len(DEPTHS), alone_rates=1, peer_epochs=2, rounds=1)
    with open_search_bench(options.images) as bench:
        rounds = [_round(bench, number, options) for number in range(1, options.rounds + 1)]
        outcome = Outcome(
            name="nautilus",
            title="The search space of Nautilus",
            compared="VGG16 with a pooled head at 224 pixels, trained from "
            f"{options.depths} depths ({', '.join(DEPTHS[: options.depths])}) with {len(BATCHES)} batch sizes and "
            f"{len(RATES)} rates, {options.epochs} epochs each, on {options.images} images, a quarter of them "
            "validated on after every epoch: all as one sweep, each as a run alone with a cold store, and in a loop of "
            "Keras that keeps nothing.",
            columns=["", "s", "s without starts", "times the sweep", "10¹² multiply-adds", "times the least"],
            rows=[_row(name, rounds) for name in (SWEEP, ALONE, LOOP, LEAST)],
            ratios={name: over(rounds, name + _SEARCH, SWEEP + _SEARCH).median for name in (ALONE, LOOP)},
            notes=[*_aims(rounds), *_remarks(options)],
            raw={**bench.raw, "rounds": rounds},
        )
    publish(outcome, options)


def _aims(rounds: Sequence[Round]) -> list[str]:
    """Returns what was to be reached, and whether it was."""
    greatest, reached = over(rounds, ALONE + _WORK, LEAST + _WORK), over(rounds, ALONE + _SEARCH, SWEEP + _SEARCH)
    speed_up = (
        f"The speed-up over the runs alone, {reached}, as a part of the greatest that arithmetic allows, {greatest}"
    )
    executed = over(rounds, SWEEP + _WORK, LEAST + _WORK)
    return [
        at_most("The arithmetic of the sweep in times of the least possible", executed, 1.05),
        at_least(speed_up, over(rounds, "part"), 0.9),
        f"The speed-up over the loop of Keras is {over(rounds, LOOP + _SEARCH, SWEEP + _SEARCH)}, and by arithmetic "
        f"{over(rounds, LOOP + _WORK, LEAST + _WORK)}. Nautilus states 2.83 of 2.87 over such a loop, with other "
        "networks on another machine.",
    ]


def _remarks(options: argparse.Namespace) -> list[str]:
    """Returns how the figures were taken."""
    measured = options.depths * len(BATCHES) * options.alone_rates
    return [
        "The least possible: every frozen layer once per image, every trained layer once per trial and epoch, forward "
        "and twice backward, forward alone for validation. That of the sweep and of the runs was counted from the "
        "images that went through frozen layers and the epochs that were trained.",
        "Arithmetic of a pass and of training counts alike, though a pass is the faster one.",
        f"Of the runs alone {measured} of {options.depths * len(BATCHES) * len(RATES)} were measured, "
        f"{options.alone_rates} of {len(RATES)} rates for each depth and batch size; another rate takes as long. The "
        f"loop was measured for {counted(options.peer_epochs, 'epoch')} of each depth, in batches of 32 only.",
        "'Without starts' leaves out the seconds in which Python and TensorFlow are loaded, and those of the loop in "
        "which the network is built.",
        rounds_taken(options.rounds),
    ]


def _round(bench: Bench, number: int, options: argparse.Namespace) -> Round:
    """Returns seconds and multiply-adds of the sweep, of the runs alone and of the loop."""
    folder = bench.searched()
    train, validated = (len(list(folder.glob(f"{split}/*/*"))) for split in ("train", "validation"))
    depths, title = DEPTHS[: options.depths], f"round {number}"
    settings = (images_of(folder), f"phases[0].epochs={options.epochs}")
    plans = {depth: compile_recipe(RECIPE, (*settings, f"{DEPTH}={depth}")) for depth in depths}
    arithmetic = {depth: Arithmetic(plan, (train, validated)) for depth, plan in plans.items()}
    found = {
        **_sweep(bench, title, settings, arithmetic),
        **_alone(bench, title, settings, arithmetic, options.alone_rates),
        **_loop(bench, title, folder, arithmetic, options),
    }
    greatest = found[ALONE + _WORK] / found[LEAST + _WORK]
    return {**found, "part": found[ALONE + _SEARCH] / found[SWEEP + _SEARCH] / greatest}


def _sweep(bench: Bench, title: str, settings: Sequence[str], arithmetic: Mapping[str, Arithmetic]) -> Round:
    """Returns the figures of the sweep, and the least arithmetic that its trials need."""
    varied = {DEPTH: list(arithmetic), "data.batch_size": BATCHES, "phases[0].lr": RATES}
    sweep = bench.search("sweep", f"{SWEEP}, {title}", RECIPE, *settings, f"sweep.vary={json.dumps(varied)}")
    trials = sweep.result["trials"]
    if unfinished := [trial["number"] for trial in trials if trial["state"] != "finished"]:
        raise RuntimeError(f"{title}: the trials {unfinished} did not finish")
    trained = [arithmetic[trial["values"][DEPTH]] for trial in trials]
    backbone = arithmetic["head"].plan.network.backbone
    passes = sum(kept["computed"] * _pass(backbone, kept["layers"]) for kept in sweep.kept)
    images = max(kept["known"] + kept["computed"] for kept in sweep.kept)
    return {
        SWEEP: sweep.whole,
        SWEEP + _SEARCH: sweep.result["seconds"],
        SWEEP + _WORK: passes + sum(one.executed for one in trained),
        LEAST + _WORK: images * sum(map(multiply_adds, backbone)) + sum(one.trained for one in trained),
    }


def _pass(backbone: Sequence[LayerRow], layers: Sequence[str]) -> int:
    """Returns the multiply-adds per image of a pass up to some layers; those of a head follow the whole backbone."""
    index = {row.name: row.index for row in backbone}
    before = frozenset[int]().union(*(ancestors(backbone, index.get(name, backbone[-1].index)) for name in layers))
    return sum(multiply_adds(row) for row in backbone if row.index in before)


def _alone(
    bench: Bench, title: str, settings: Sequence[str], arithmetic: Mapping[str, Arithmetic], rates: int
) -> Round:
    """Returns the figures of all trials as runs alone, of which some rates are measured; each has a cold store."""
    found = dict.fromkeys((ALONE, ALONE + _SEARCH, ALONE + _WORK), 0.0)
    for (depth, one), batch in itertools.product(arithmetic.items(), BATCHES):
        measured = []
        for rate in RATES[:rates]:
            changes = (f"{DEPTH}={depth}", f"data.batch_size={batch}", f"phases[0].lr={rate}")
            name = f"{ALONE}, {title}: {depth}, batches of {batch}, rate {rate:g}"
            timing, result = bench.surgeon(name, RECIPE, *settings, *changes)
            measured.append((timing.seconds, result["seconds"], result["frozen"]["multiply_adds"] + one.executed))
        for name, values in zip(found, zip(*measured, strict=True), strict=True):
            found[name] += len(RATES) * statistics.mean(values)
    return found


def _loop(
    bench: Bench, title: str, folder: Path, arithmetic: Mapping[str, Arithmetic], options: argparse.Namespace
) -> Round:
    """Returns the figures of all trials in Keras, each of which computes every layer in every epoch."""
    trials = len(BATCHES) * len(RATES)  # of each depth
    found = {
        LOOP: 0.0,
        LOOP + _SEARCH: 0.0,
        LOOP + _WORK: float(trials * sum(one.every_epoch for one in arithmetic.values())),
    }
    asked = ("--whole", "--validation", folder / "validation", "--epochs", options.peer_epochs)
    for depth in arithmetic:
        trial = ("--trials", "0.0001:0.5", "--from", depth.partition("_")[0])
        name = f"{LOOP}, {title}: {depth}"
        timing = bench.peer("Keras", name, "vgg16", folder / "train", *asked, *trial, scripts=HEADS)
        found[LOOP] += trials * timing.total(epochs=options.epochs)
        found[LOOP + _SEARCH] += trials * timing.lasting("epochs", options.epochs)
    return found


def _row(name: str, rounds: Sequence[Round]) -> list[Cell]:
    work = [over(rounds, name + _WORK).median / 1e12, over(rounds, name + _WORK, LEAST + _WORK).median]
    if name == LEAST:
        return [name, None, None, None, *work]
    ratio = None if name == SWEEP else str(over(rounds, name + _SEARCH, SWEEP + _SEARCH))
    return [name, str(over(rounds, name)), str(over(rounds, name + _SEARCH)), ratio, *work]


if __name__ == "__main__":
    main()
