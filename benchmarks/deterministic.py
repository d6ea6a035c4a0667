"""What `deterministic: true` costs.

python benchmarks/deterministic.py
"""

from __future__ import annotations

from typing import NamedTuple

from bench import VGG16, images_of, open_bench, phases
from outcome import Outcome, publish, read_options


class Case(NamedTuple):
    """What is trained: a network, a phase as the peers call it, and what its recipe says besides."""

    network: str
    phase: str
    said: str
    overrides: tuple[str, ...] = ()


CASES = (
    Case("vgg16", "head", "Flatten and Dense: matrix products", ("data.image_size=160",)),
    Case("vgg16", "block5", "Conv2D and MaxPooling2D", ("data.image_size=160",)),
    Case("mobilenetv2", "all", "Conv2D and DepthwiseConv2D"),
    Case("mobilenetv2", "all", "the same, BatchNormalization trained", ("phases[0].batch_norm=train",)),
)


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=170, epochs=4)
    rows = []
    with open_bench(options.images) as bench:
        train = bench.flowers / "train"
        for case in CASES:
            recipe = [VGG16] if case.network == "vgg16" else bench.recipe_of(case.network)
            asked = (images_of(train), "data.split.test=0", phases(**{case.phase: options.epochs}), *case.overrides)
            steady = {}
            for chosen in ("false", "true"):
                label = f"{case.network}, {case.said}, deterministic: {chosen}"
                timing, _ = bench.surgeon(label, *recipe, *asked, f"deterministic={chosen}")
                steady[chosen] = timing.steady(case.phase)
            times = steady["true"] / steady["false"]
            rows.append([case.network, case.phase, case.said, steady["false"], steady["true"], times])
        outcome = Outcome(
            name="deterministic",
            title="What deterministic costs",
            compared=f"Epochs of {len(list(train.glob('*/*')))} images in float32, `deterministic` false and true.",
            columns=["network", "trained", "operations", "false, s", "true, s", "times as long"],
            rows=rows,
            ratios={},  # of surgeon to itself; the drawing is of peers
            notes=["Steady epochs: the median of those behind the first; the frozen pass is not in them."],
            raw=bench.raw,
        )
    publish(outcome, options)


if __name__ == "__main__":
    main()
