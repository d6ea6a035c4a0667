"""The time to a weighted F1 of 0.94 on the test images of Flowers-17.

python benchmarks/headline.py
"""

from __future__ import annotations

from bench import open_bench
from compare import extrapolation
from images import ALL_FLOWERS, FLOWERS17
from outcome import Outcome, publish, read_options

WANTED = 0.94


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=ALL_FLOWERS, head_epochs=25, block5_epochs=100, peer_epochs=3)
    story = {"head": options.head_epochs, "block5": options.block5_epochs}
    with open_bench(options.images) as bench:
        fewer = [] if options.images == ALL_FLOWERS else [f"data.source={{folder: {{path: '{bench.flowers}'}}}}"]
        timing, result = bench.surgeon("surgeon", FLOWERS17, *fewer)
        found = result["evaluation"]["weighted"]["f1"]
        measured = ("--phases", *(f"{phase}:{options.peer_epochs}" for phase in story))
        script = bench.peer(
            "Keras", "Keras", "vgg16", bench.flowers / "train", "--validation", bench.flowers / "test", *measured
        )
        total = script.total(**story)
        reached = found >= WANTED
        ratio = total / timing.seconds if reached else None
        outcome = Outcome(
            name="headline",
            title=f"A weighted F1 of {WANTED} on Flowers-17",
            compared="recipes/vgg16_flowers17.yaml from a cold store, run whole, and the story's script in plain "
            f"Keras: {options.head_epochs} epochs of the head and {options.block5_epochs} of block 5.",
            columns=["", "minutes", "weighted F1", "ratio"],
            rows=[
                ["surgeon", timing.seconds / 60, f"{found:.4f}", None],
                ["Keras", total / 60, f"{WANTED}, as the story claims", ratio],
            ],
            ratios={"the story's script in plain Keras": ratio} if reached else {},
            notes=[
                f"surgeon's F1 was measured in this run and {'reaches' if reached else 'does not reach'} {WANTED}. The "
                "script's is the story's claim and was not measured.",
                "The script, as the story's, validates on the test images after every epoch; the recipe does not.",
                extrapolation(options.peer_epochs),
            ],
            raw={**bench.raw, "weighted F1": found},
        )
    publish(outcome, options)


if __name__ == "__main__":
    main()
