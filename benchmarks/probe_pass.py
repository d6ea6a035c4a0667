"""The pass of ``surgeon probe`` through a network with every cut, against a plain pass through the same network.

python benchmarks/probe_pass.py
"""

from __future__ import annotations

import json

from bench import POOLED, Bench, images_of, open_search_bench
from outcome import Cell, Outcome, publish, read_options
from rounds import Round, at_most, over, rounds_taken

NETWORKS = ("vgg16", "mobilenetv2", "efficientnetlite0")
PLAIN = "a plain pass"
PROBES = {"the ends of blocks": False, "every layer": True}


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=1360, rounds=3)
    rows: list[list[Cell]] = []
    notes: list[str] = []
    ratios: dict[str, float] = {}
    with open_search_bench(options.images) as bench:
        for network in NETWORKS:
            rounds = [_round(bench, network, number) for number in range(1, options.rounds + 1)]
            rows.append([f"{network}: {PLAIN}", None, str(over(rounds, PLAIN)), None, None, None])
            for cuts in PROBES:
                ratio = over(rounds, cuts, PLAIN)
                count = round(over(rounds, f"{cuts}, cuts").median)
                others = [str(over(rounds, name)) for name in (f"{cuts}, timing", f"{cuts}, fits")]
                rows.append([f"{network}: {cuts}", count, str(over(rounds, cuts)), str(ratio), *others])
                notes.append(at_most(f"{network}, {cuts}: the pass in plain ones", ratio, 1.1))
                ratios[f"{network}: {PLAIN}, against {cuts}"] = 1 / ratio.median
        outcome = Outcome(
            name="probe_pass",
            title="The pass of surgeon probe",
            compared=f"{options.images} images of 224 pixels through a network, its compilation included: once as a "
            "run keeps the pooled output of its last layer, once as a probe keeps those of all cuts side by side.",
            columns=["", "cuts", "pass, s", "in plain passes", "timing the cuts, s", "fits, s"],
            rows=rows,
            ratios=ratios,
            notes=[
                *notes,
                rounds_taken(options.rounds),
                "Every pass is a process of its own with a cold store.",
                "With every layer, a convolution's output is averaged, and that of its normalization, and that of its "
                "activation: maps that a plain pass never writes, as one kernel computes all three.",
                "Fits are the cross-validations of a logistic regression at all cuts. Only VGG16 has ImageNet's "
                "weights; those of the others are made up and take as long.",
            ],
            raw=bench.raw,
        )
    publish(outcome, options)


def _round(bench: Bench, network: str, number: int) -> Round:
    """Returns the seconds of each pass, for the same number of images, and those of the fits."""
    images = f"{network}, round {number}"
    backbone = f"{{name: {network}, weights: {json.dumps(bench.weights(network))}}}"
    settings = (
        images_of(bench.searched()),
        "data.split.test=0",
        f"backbone={backbone}",
        "features=disk",
        "phases=[{trainable: head, lr: 0.001, epochs: 1}]",
    )
    _, result = bench.surgeon(f"{PLAIN}: {images}", POOLED, *settings)
    frozen = result["frozen"]
    found = {PLAIN: frozen["seconds"]}
    for cuts, every_layer in PROBES.items():
        probe = bench.search("probe", f"{cuts}: {images}", POOLED, *settings, every_layer=every_layer)
        computed = sum(kept["computed"] for kept in probe.kept)
        if computed != frozen["computed"]:
            raise RuntimeError(f"{images}: the probe computed {computed} images, the run {frozen['computed']}")
        (seconds,) = probe.result["pass_seconds"]
        gathered, timed, fitted = (
            next(last for task, (_, last) in probe.tasks.items() if task.startswith(begin))
            for begin in ("gather features", "time the cuts", "fit a classifier")
        )
        found |= {cuts: seconds, f"{cuts}, cuts": len(probe.result["cuts"])}
        found |= {f"{cuts}, timing": timed - gathered, f"{cuts}, fits": fitted - timed}
    return found


if __name__ == "__main__":
    main()
