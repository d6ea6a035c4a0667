"""Networks full of BatchNormalization, all of them trained but its statistics.

python benchmarks/frozen_batch_norm.py
"""

from __future__ import annotations

from bench import PRECISIONS, open_bench
from compare import SPEED_COLUMNS, Variant, compare_speeds
from outcome import Outcome, publish, read_options


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=680, epochs=3)
    variants = [
        Variant("Keras", "float32", "training=False"),
        Variant("Keras", "float32", "BatchNormalization trained", ("--batch-norm", "train")),
        *(Variant("PyTorch", precision, "eval()") for precision in PRECISIONS),
    ]
    rows, ratios = [], {}
    with open_bench(options.images) as bench:
        for network in ("mobilenetv2", "efficientnetlite0"):
            found = compare_speeds(
                bench, network, options.epochs, [variant for variant in variants if variant.peer in bench.peers]
            )
            rows += found[0]
            ratios |= found[1]
        outcome = Outcome(
            name="frozen_batch_norm",
            title="Networks with BatchNormalization in inference mode",
            compared="Every layer of MobileNetV2 and of EfficientNet-Lite0 trained at 224 pixels, in batches of 32, "
            "random weights: surgeon, fit of Keras with the network called with training=False and without, PyTorch "
            "with its BatchNorm layers in eval mode.",
            columns=SPEED_COLUMNS,
            rows=rows,
            ratios=ratios,
            notes=bench.notes(
                f"Images a second of an epoch without validation, the median of {options.epochs - 1} behind the first. "
                "A ratio says how many times longer than surgeon in the same precision.",
                "Keras has no EfficientNet-Lite0; its script trains surgeon's model of it.",
            ),
            raw=bench.raw,
        )
    publish(outcome, options)


if __name__ == "__main__":
    main()
