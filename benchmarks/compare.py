"""The two comparisons that benchmarks of training make: how long all of it takes, and how many images a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench import PRECISIONS, VGG16, Bench, Timing, images_of, phases
from outcome import Cell


def compare_totals(
    bench: Bench, phase: str, counts: tuple[int, ...], peer_epochs: int
) -> tuple[list[list[Cell]], dict[str, float], dict[str, Timing]]:
    """Trains a phase of VGG16 in every precision by surgeon and by each peer.

    Args:
        bench: With flowers in it.
        phase: As the peers call it.
        counts: Each a number of epochs whose total is compared.
        peer_epochs: How many epochs of a peer are measured.

    Returns:
        Rows for ``totals_columns``, the ratios, and surgeon's timing of the last count in each precision.
    """
    rows: list[list[Cell]] = []
    ratios, last = {}, {}
    for precision in PRECISIONS:
        totals = []
        for count in counts:
            last[precision], _ = bench.surgeon(
                f"surgeon, {precision}, {count} epochs",
                VGG16,
                images_of(bench.flowers),
                phases(**{phase: count}),
                f"precision={precision}",
            )
            totals.append(last[precision].seconds)
        rows.append(_totals_row(f"surgeon, {precision}", last[precision], phase, [(total, None) for total in totals]))
        for peer in bench.peers:
            name = f"{peer}, {precision}"
            validated = ("--validation", bench.flowers / "test")
            asked = ("--precision", precision, "--phases", f"{phase}:{peer_epochs}")
            timing = bench.peer(peer, name, "vgg16", bench.flowers / "train", *validated, *asked)
            theirs = [timing.total(**{phase: count}) for count in counts]
            rows.append(_totals_row(name, timing, phase, [(a, a / b) for a, b in zip(theirs, totals, strict=True)]))
            for count, total, ours in zip(counts, theirs, totals, strict=True):
                ratios[f"{count} epochs: {name}"] = total / ours
    return rows, ratios, last


def extrapolation(peer_epochs: int) -> str:
    """Returns the remark on the totals of peers."""
    return (
        "surgeon's runs are measured whole, to the saved network and the measured test images. The peers save and "
        "measure nothing at the end; their totals are extrapolated: start + first epoch + (n - 1) times the median of "
        f"the {peer_epochs - 1} epochs that were measured after it."
    )


def totals_columns(counts: tuple[int, ...]) -> list[str]:
    """Returns the columns of ``compare_totals``: seconds, and for each peer how many times surgeon's."""
    pairs = (pair for count in counts for pair in (f"{count} epochs, s", "ratio"))
    return ["", "start, s", "first epoch, s", "steady epoch, s", *pairs]


def _totals_row(name: str, timing: Timing, phase: str, totals: list[tuple[float, float | None]]) -> list[Cell]:
    return [name, timing.start, timing.first(phase), timing.steady(phase), *(cell for pair in totals for cell in pair)]


class Variant(NamedTuple):
    """A way in which a peer trains everything; ``remark`` tells it from others of the same precision."""

    peer: str
    precision: str
    remark: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in a table."""
        return ", ".join(filter(None, (self.peer, self.precision, self.remark)))


SPEED_COLUMNS = ["", "images/s", "first epoch, s", "steady epoch, s", "ratio"]


def compare_speeds(
    bench: Bench, network: str, epochs: int, variants: Sequence[Variant]
) -> tuple[list[list[Cell]], dict[str, float]]:
    """Trains a whole network by surgeon in every precision and by peers, on the training images, without validation.

    Args:
        bench: With flowers in it.
        network: As the catalogue calls it.
        epochs: How many are measured; the first, in which graphs are traced, is left out of the speed.
        variants: What surgeon is compared with.

    Returns:
        Rows for ``SPEED_COLUMNS`` and the ratios.
    """
    train = bench.flowers / "train"
    images = len(list(train.glob("*/*")))
    everything = (images_of(train), "data.split.test=0", phases(all=epochs))
    rows: list[list[Cell]] = []
    steady, ratios = {}, {}
    for precision in PRECISIONS:
        name = f"{network}: surgeon, {precision}"
        timing, _ = bench.surgeon(name, *bench.recipe_of(network), *everything, f"precision={precision}")
        steady[precision] = timing.steady("all")
        rows.append(_speed_row(name, timing, images, None))
    for variant in variants:
        name = f"{network}: {variant.name}"
        asked = ("--precision", variant.precision, "--phases", f"all:{epochs}")
        timing = bench.peer(variant.peer, name, network, train, *asked, *variant.arguments)
        ratios[name] = timing.steady("all") / steady[variant.precision]
        rows.append(_speed_row(name, timing, images, ratios[name]))
    return rows, ratios


def _speed_row(name: str, timing: Timing, images: int, ratio: float | None) -> list[Cell]:
    return [name, images / timing.steady("all"), timing.first("all"), timing.steady("all"), ratio]
