"""From ten thousand to a million images: seconds and memory, with no more than 1,024 files open.

python benchmarks/growth.py
"""

from __future__ import annotations

import resource

from bench import HERE, images_of, open_bench
from images import add_tiny
from outcome import Outcome, publish, read_options

GROWTH = HERE / "recipes" / "growth.yaml"
STEPS = (0.01, 0.1, 0.3, 1.0)
DESCRIPTORS = 1024  # the usual limit


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=1_000_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    rows, before = [], 0
    with open_bench() as bench:
        folder = bench.folder / "images"
        for count in (round(step * options.images) for step in STEPS):
            add_tiny(folder, before, count)
            before, cache, name = count, bench.cold_cache(), f"{count:,} images"
            first, _ = bench.surgeon(name, GROWTH, images_of(folder), cache=cache)
            again, _ = bench.surgeon(f"{name} again", GROWTH, images_of(folder), cache=cache)
            own = [bench.raw[label]["anonymous"] / 1e6 for label in (name, f"{name} again")]
            rows.append([name, first.seconds, 1000 * first.seconds / count, own[0], again.seconds, own[1]])
    outcome = Outcome(
        name="growth",
        title="Growth",
        compared="surgeon run with more and more BMP files of 8 by 8 pixels, features: disk: the stem of "
        "EfficientNet-Lite0 frozen at 32 pixels, a head trained for one epoch, everything up to the report; then once "
        f"more with what the store kept. No process may open more than {DESCRIPTORS:,} files.",
        columns=["", "s", "s a thousand", "own memory, MB", "again, s", "own memory again, MB"],
        rows=rows,
        ratios={},
        notes=[
            "The images are as small as they can be, so this is what everything around the network takes: listing, "
            "hashing, splitting, decoding, both shelves, the files of the run, the report.",
            "The most memory at any moment, sampled ten times a second, of the process' own (RssAnon). TensorFlow "
            "alone takes some 600 MB of it.",
        ],
        raw=bench.raw,
    )
    publish(outcome, options)


if __name__ == "__main__":
    main()
