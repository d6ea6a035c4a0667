"""A new head on VGG16 at 224 pixels, from nothing to the trained network.

python benchmarks/warm_up.py
"""

from __future__ import annotations

import math

from bench import open_bench
from compare import compare_totals, extrapolation, totals_columns
from machine import product_seconds
from outcome import Outcome, publish, read_options

BATCH, FEATURES, UNITS, CLASSES = 32, 7 * 7 * 512, 256, 17


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=1360, few_epochs=10, many_epochs=25, peer_epochs=3)
    counts = (options.few_epochs, options.many_epochs)
    with open_bench(options.images) as bench:
        trained, validated = (len(list(bench.flowers.glob(f"{split}/*/*"))) for split in ("train", "test"))
        products = products_seconds(trained, validated)
        rows, ratios, ours = compare_totals(bench, "head", counts, options.peer_epochs)
        steady = ours["float32"].steady("head")
        outcome = Outcome(
            name="warm_up",
            title="A new head on VGG16",
            compared=f"VGG16 frozen, its head trained on {trained} images of 224 pixels and validated on {validated} "
            "after every epoch: the story's script in plain Keras, the same in PyTorch, surgeon.",
            columns=totals_columns(counts),
            rows=rows,
            ratios=ratios,
            notes=bench.notes(
                extrapolation(options.peer_epochs),
                f"The matrix products of an epoch, in NumPy: {products:.2f} s. surgeon's steady epoch takes "
                f"{steady / products:.1f} times that; it also reads the features and updates 6.4 million weights.",
            ),
            raw={**bench.raw, "matrix products of an epoch": products},
        )
    publish(outcome, options)


def products_seconds(trained: int, validated: int) -> float:
    """Returns the seconds of all matrix products that an epoch of the head needs."""
    forward = product_seconds(BATCH, FEATURES, UNITS) + product_seconds(BATCH, UNITS, CLASSES)
    # The gradients of both kernels, and of the first layer's output; nobody needs that of the features.
    backward = (
        product_seconds(FEATURES, BATCH, UNITS)
        + product_seconds(UNITS, BATCH, CLASSES)
        + product_seconds(BATCH, CLASSES, UNITS)
    )
    return math.ceil(trained / BATCH) * (forward + backward) + math.ceil(validated / BATCH) * forward


if __name__ == "__main__":
    main()
