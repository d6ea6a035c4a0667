"""The last block of VGG16 and a new head, trained together.

python benchmarks/block5.py
"""

from __future__ import annotations

from bench import open_bench
from compare import compare_totals, extrapolation, totals_columns
from outcome import Outcome, publish, read_options


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=1360, epochs=10, peer_epochs=3)
    counts = (options.epochs,)
    with open_bench(options.images) as bench:
        rows, ratios, _ = compare_totals(bench, "block5", counts, options.peer_epochs)
        outcome = Outcome(
            name="block5",
            title="The last block of VGG16",
            compared=f"VGG16 at 224 pixels, trained from block5_conv1 on; {options.images} images, a quarter of them "
            "validated on after every epoch: the story's script in plain Keras, the same in PyTorch, surgeon.",
            columns=totals_columns(counts),
            rows=rows,
            ratios=ratios,
            notes=bench.notes(extrapolation(options.peer_epochs)),
            raw=bench.raw,
        )
    publish(outcome, options)


if __name__ == "__main__":
    main()
