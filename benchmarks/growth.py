"""From a thousand to twenty thousand images: seconds and memory.

python benchmarks/growth.py
"""

from __future__ import annotations

from bench import POOLED, images_of, open_bench, phases
from images import add_synthetic
from outcome import Outcome, publish, read_options

STEPS = (0.05, 0.125, 0.25, 0.5, 1.0)


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=20_000, epochs=3)
    rows, before = [], 0
    with open_bench() as bench:
        folder = bench.folder / "photographs"
        for count in (round(step * options.images) for step in STEPS):
            add_synthetic(folder, before, count)
            before = count
            name = f"{count:,} images"
            settings = ("data.image_size=96", "features=auto")
            timing, _ = bench.surgeon(name, POOLED, images_of(folder), phases(head=options.epochs), *settings)
            held = bench.raw[name]
            rows.append(
                [
                    name,
                    timing.seconds,
                    1000 * timing.seconds / count,
                    timing.steady("head"),
                    held["anonymous"] / 1e6,
                    held["file_mapped"] / 1e6,
                ]
            )
        outcome = Outcome(
            name="growth",
            title="Growth",
            compared="surgeon with more and more synthetic JPEG images: EfficientNet-Lite0 frozen at 96 pixels, a "
            f"head trained for {options.epochs} epochs, a cold store each time, features: auto.",
            columns=["", "s", "s a thousand", "steady epoch, s", "own memory, MB", "mapped files, MB"],
            rows=rows,
            ratios={},
            notes=[
                "The most memory at any moment, sampled ten times a second: what is the process' own (RssAnon), and "
                "what it maps from files, libraries and the store (RssFile), which the system may take back."
            ],
            raw=bench.raw,
        )
    publish(outcome, options)


if __name__ == "__main__":
    main()
