"""A recipe run once more, and with another head: what the store spares.

python benchmarks/again.py
"""

from __future__ import annotations

from bench import VGG16, images_of, open_bench, phases
from compare import extrapolation
from outcome import Outcome, publish, read_options

PEER = "Keras"


def main() -> None:
    """Runs the benchmark."""
    options = read_options(__doc__, images=1360, epochs=10, peer_epochs=3)
    rows, ratios = [], {}
    with open_bench(options.images) as bench:
        cache = bench.cold_cache()
        asked = ("--validation", bench.flowers / "test", "--phases", f"head:{options.peer_epochs}")
        script = bench.peer(PEER, PEER, "vgg16", bench.flowers / "train", *asked).total(head=options.epochs)
        for name, change in (
            ("the first time", ()),
            ("again", ()),
            ("again, with a head of 128 units", ("head[1].dense.units=128",)),
        ):
            overrides = (images_of(bench.flowers), phases(head=options.epochs), "precision=float32", *change)
            timing, result = bench.surgeon(f"surgeon, {name}", VGG16, *overrides, cache=cache)
            ratio = ratios[f"{PEER}, against surgeon {name}"] = script / timing.seconds
            frozen = result["frozen"]
            rows.append([f"surgeon, {name}", timing.seconds, frozen["computed"], frozen["known"], ratio])
        rows.append([f"{PEER}, every time", script, None, None, None])
        outcome = Outcome(
            name="again",
            title="The same again",
            compared=f"VGG16 frozen, its head trained for {options.epochs} epochs on Flowers-17: surgeon three times "
            "with the same store, which is empty at first, and the story's script in plain Keras, which keeps nothing.",
            columns=["", "s", "images computed", "images known", f"{PEER} / this"],
            rows=rows,
            ratios=ratios,
            notes=[extrapolation(options.peer_epochs)],
            raw=bench.raw,
        )
    publish(outcome, options)


if __name__ == "__main__":
    main()
