"""A sweep of many heads on frozen VGG16, against one run, a competent script and a naive loop.

python benchmarks/sweep.py
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from bench import HEADS, HERE, Bench, images_of, open_search_bench
from machine import memory_bandwidth, product_seconds
from outcome import Cell, Outcome, publish, read_options
from rounds import Round, Spread, at_least, at_most, over, rounds_taken

from surgeon.text import counted

RECIPE = HERE / "recipes" / "heads.yaml"
HEAD_LAYERS = {"pooled": "global_average_pooling", "flatten": "flatten"}
INPUTS, UNITS = {"pooled": 512, "flatten": 25_088}, 256  # of the layer that is nearly all of the head
BATCH = 32
# Adam in each step: the weights are read, their gradient is written and read, both moments and the weights are read
# and written, in float32.
BYTES_MOVED = 9 * 4
RUN, SWEEP, NAIVE = "surgeon, one run", "surgeon, the sweep", "Keras, naive"
_TRIALS = ", trials"  # the name of a figure without what comes before the trials


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=1360, trials=30, epochs=25, peer_trials=3, naive_epochs=2, rounds=3)
    rows: list[list[Cell]] = []
    notes: list[str] = []
    ratios: dict[str, float] = {}
    with open_search_bench(options.images) as bench:
        for head in HEAD_LAYERS:
            rounds = [_round(bench, head, number, options) for number in range(1, options.rounds + 1)]
            names = [RUN, SWEEP, *(_script(peer) for peer in bench.peers), NAIVE]
            rows += [_row(head, name, rounds) for name in names]
            for name in names[2:]:
                ratios[f"{head}: {name}, in all"] = over(rounds, name, SWEEP).median
            notes += _aims(head, rounds, names[2:-1])
        outcome = Outcome(
            name="sweep",
            title=f"A sweep of {options.trials} heads",
            compared=f"{options.trials} heads with rates and dropouts of their own on frozen VGG16, {options.epochs} "
            f"epochs each, {options.images} images of 224 pixels, a quarter of them validated on after every epoch: "
            "one run of surgeon, its sweep, scripts that compute the features once and fit a new head for each trial, "
            "and a loop that fits each head behind the whole network. Pooled heads have 512 inputs, those with flatten "
            "25,088.",
            columns=["", "in all, s", "times the sweep", "trials alone, s", "times the sweep's"],
            rows=rows,
            ratios=ratios,
            notes=bench.notes(*notes, *_remarks(options)),
            raw=bench.raw,
        )
    publish(outcome, options)


def _remarks(options: argparse.Namespace) -> list[str]:
    """Returns how the figures were taken."""
    return [
        rounds_taken(options.rounds),
        "'In all' is the whole process with a cold store. 'Trials alone' of the sweep is all from the last image "
        "through the frozen layers to the end of the search: building and compiling, training, validation, Optuna, "
        "files. Of the run it is its epochs; of a script what it takes from each model to its last epoch.",
        f"Scripts were measured on {options.peer_trials} trials with the values of the sweep's first ones: a trial "
        "after the first takes the median of the others. The naive loop was measured for "
        f"{counted(options.naive_epochs, 'epoch')} of one trial and takes {options.trials * options.epochs} of them; "
        "what every new model costs at its start is not counted. PyTorch has random weights.",
    ]


def _script(peer: str) -> str:
    return f"{peer}, features once"


def _round(bench: Bench, head: str, number: int, options: argparse.Namespace) -> Round:
    """Returns the seconds of everything that is compared for a head, one after the other."""
    images, title = bench.searched(), f"{head}, round {number}"
    settings = (
        images_of(images),
        f"head[0]={HEAD_LAYERS[head]}",
        f"phases[0].epochs={options.epochs}",
        f"sweep.trials={options.trials}",
    )
    timing, result = bench.surgeon(f"{RUN}: {title}", RECIPE, *settings)
    found = {RUN: timing.seconds, RUN + _TRIALS: sum(timing.epochs["head"])}
    sweep = bench.search("sweep", f"{SWEEP}: {title}", RECIPE, *settings)
    trials = sweep.result["trials"]
    if unfinished := [trial["number"] for trial in trials if trial["state"] != "finished"]:
        raise RuntimeError(f"{title}: the trials {unfinished} did not finish")
    found |= {SWEEP: sweep.whole, SWEEP + _TRIALS: sweep.seconds - sweep.tasks["compute frozen features"][1]}
    values = [f"{trial['values']['phases[0].lr']}:{trial['values']['head[2].dropout']}" for trial in trials]
    asked = ("--validation", images / "validation", "--head", head)
    for peer in bench.peers:
        few = ("--trials", *values[: options.peer_trials], "--epochs", options.epochs)
        script = bench.peer(peer, f"{_script(peer)}: {title}", "vgg16", images / "train", *asked, *few, scripts=HEADS)
        found[_script(peer)] = script.total(features=1, trials=options.trials)
        found[_script(peer) + _TRIALS] = script.lasting("trials", options.trials)
    one = ("--whole", "--trials", values[0], "--epochs", options.naive_epochs)
    naive = bench.peer("Keras", f"{NAIVE}: {title}", "vgg16", images / "train", *asked, *one, scripts=HEADS)
    found[NAIVE] = naive.total(epochs=options.trials * options.epochs)
    found[NAIVE + _TRIALS] = naive.lasting("epochs", options.trials * options.epochs)
    steps = options.trials * options.epochs * math.ceil(len(list(images.glob("train/*/*"))) / BATCH)
    moved = BYTES_MOVED * result["phases"][0]["trainable_parameters"] * steps
    bandwidth = memory_bandwidth()
    inputs = INPUTS[head]
    # Forward, and backward to the weights: what is before them is frozen.
    product = product_seconds(BATCH, inputs, UNITS) + product_seconds(inputs, BATCH, UNITS)
    memory = {"bytes that must move": moved, "bytes per second": bandwidth, "seconds of both products": product}
    bench.raw[f"memory: {title}"] = memory
    return {
        **found,
        "GB": moved / 1e9,
        "GB/s": bandwidth / 1e9,
        "moving": moved / bandwidth,
        "products": steps * product,
    }


def products_remark(seconds: Spread, in_moves: Spread) -> str:
    """Returns what the arithmetic of the large layer takes, which the bytes do not tell."""
    return (
        f"flatten: its products alone, forward and to the weights, take NumPy {seconds} s, {in_moves} times of moving "
        "the bytes; `flat_step` shows what a step is made of."
    )


def _row(head: str, name: str, rounds: Sequence[Round]) -> list[Cell]:
    figures = [(name, SWEEP), (name + _TRIALS, SWEEP + _TRIALS)]
    cells = [str(over(rounds, *pair)) for figure, ours in figures for pair in ((figure,), (figure, ours))]
    if name == SWEEP:
        cells[1] = cells[3] = ""
    return [f"{head}: {name}", *cells]


def _aims(head: str, rounds: Sequence[Round], scripts: Sequence[str]) -> list[str]:
    """Returns what was to be reached for a head, and whether it was."""
    found = []
    if head == "pooled":
        found.append(at_most("pooled: the sweep in runs", over(rounds, SWEEP, RUN), 1.5))
        for name in scripts:
            fits = over(rounds, name + _TRIALS, SWEEP + _TRIALS)
            found.append(at_least(f"pooled: the fits of {name}, in times of the sweep's trials", fits, 5))
    else:
        for name in scripts:
            found.append(at_least(f"flatten: {name}, in times of the sweep", over(rounds, name, SWEEP), 2))
        moved = f"{over(rounds, 'GB').median:,.0f} GB ({BYTES_MOVED} bytes per weight, step and trial)"
        speed = f"{over(rounds, 'GB/s')} GB/s, at which NumPy adds arrays on all cores"
        moving = over(rounds, SWEEP + _TRIALS, "moving")
        found.append(at_most(f"flatten: the sweep's trials in times of moving {moved} at {speed}", moving, 1.5))
        found.append(products_remark(over(rounds, "products"), over(rounds, "products", "moving")))
    return [*found, at_least(f"{head}: the naive loop in times of the sweep", over(rounds, NAIVE, SWEEP), 20)]


if __name__ == "__main__":
    main()
