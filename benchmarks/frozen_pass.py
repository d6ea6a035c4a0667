"""The frozen pass alone: images a second, network by network, engine by engine.

python benchmarks/frozen_pass.py
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from bench import PRECISIONS, Bench, images_of, open_bench, phases
from images import lay_out_flowers
from machine import peak_multiply_adds
from outcome import Outcome, publish, read_options

NETWORKS = ("vgg16", "resnet50", "mobilenetv2", "efficientnetb0", "efficientnetlite0")
ENGINES = tuple(name for name in ("tensorflow", "openvino") if importlib.util.find_spec(name))
PLAIN = ("tensorflow", "float32")


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=1360, fewer_images=340)
    rows, ratios = [], {}
    with open_bench(options.images) as bench:
        few = bench.folder / "few"
        lay_out_flowers(few, options.fewer_images)
        peak = peak_multiply_adds()
        for network in NETWORKS:
            speeds = {}
            for engine, precision in ((engine, precision) for engine in ENGINES for precision in PRECISIONS):
                name = f"{network}: {engine}, {precision}"
                small, large = (
                    _frozen(bench, f"{name}, {title}", folder, network, engine, precision)
                    for title, folder in (("few images", few), ("all images", bench.flowers))
                )
                speed = (large["computed"] - small["computed"]) / (large["seconds"] - small["seconds"])
                arithmetic = speed * large["multiply_adds"] / large["computed"]
                speeds[engine, precision] = speed
                whole = large["computed"] / large["seconds"]
                rows.append([name, speed, whole, arithmetic / 1e9, 100 * arithmetic / peak, speed / speeds[PLAIN]])
            fastest = max(speeds, key=speeds.__getitem__)
            ratios[f"{network}: {', '.join(PLAIN)}, against {', '.join(fastest)}"] = speeds[fastest] / speeds[PLAIN]
        absent = [] if "openvino" in ENGINES else ["OpenVINO is not installed, so it was not measured."]
        outcome = Outcome(
            name="frozen_pass",
            title="The frozen pass",
            compared="What computes the frozen layers, network by network at 224 pixels, against TensorFlow in float32 "
            "and against the fastest matrix product of this machine.",
            columns=["", "images/s", "with its start", "10⁹ multiply-adds/s", "% of sgemm", "against TensorFlow"],
            rows=rows,
            ratios=ratios,
            notes=[
                f"Images a second beyond the first {options.fewer_images} of {options.images}, as two runs differ; "
                "'with its start' counts the compilation of the network too.",
                f"A product of large float32 matrices in NumPy makes {peak / 1e9:,.0f} · 10⁹ multiply-adds/s; bfloat16 "
                "may go beyond that. Multiply-adds are those of surgeon's layer tables: convolutions and dense layers.",
                *absent,
            ],
            raw={**bench.raw, "peak multiply-adds a second": peak},
        )
    publish(outcome, options)


def _frozen(bench: Bench, name: str, folder: Path, network: str, engine: str, precision: str) -> dict[str, Any]:
    """Returns what a run says about its frozen pass."""
    overrides = (f"engine={engine}", f"precision={precision}", "features=disk")
    _, result = bench.surgeon(name, *bench.recipe_of(network), images_of(folder), phases(head=1), *overrides)
    return result["frozen"]


if __name__ == "__main__":
    main()
