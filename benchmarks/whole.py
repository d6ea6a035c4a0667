"""The whole of VGG16 trained: nothing is frozen, so no features are kept.

python benchmarks/whole.py
"""

from __future__ import annotations

from bench import PRECISIONS, open_bench
from compare import SPEED_COLUMNS, Variant, compare_speeds
from outcome import Outcome, publish, read_options


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=680, epochs=3)
    with open_bench(options.images) as bench:
        variants = [Variant(peer, precision) for precision in PRECISIONS for peer in bench.peers]
        rows, ratios = compare_speeds(bench, "vgg16", options.epochs, variants)
        outcome = Outcome(
            name="whole",
            title="The whole of VGG16",
            compared="Every layer of VGG16 trained at 224 pixels, in batches of 32: fit of Keras, also with "
            "mixed_bfloat16, PyTorch, also with autocast, surgeon in both precisions.",
            columns=SPEED_COLUMNS,
            rows=rows,
            ratios=ratios,
            notes=bench.notes(
                f"Images a second of an epoch without validation, the median of {options.epochs - 1} behind the first. "
                "A ratio says how many times longer than surgeon in the same precision."
            ),
            raw=bench.raw,
        )
    publish(outcome, options)


if __name__ == "__main__":
    main()
