"""What networks come to in use: exported, asked about images, measured on other data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from surgeon.catalogue.sources.listing import left_out_lines
from surgeon.report.results import acceptance_lines, averages_text
from surgeon.report.terminal import styled, table
from surgeon.text import counted

if TYPE_CHECKING:
    from surgeon.results.use import ExportResult, OtherData, Prediction


_TOO_GOOD = "figures are too good, so measure it on others"


def export_table(result: ExportResult) -> Table:
    """Renders how an exported network compares with its run."""
    made = table(None, "", result.reference, f"{result.format}{f', {result.quantize}' if result.quantize else ''}")
    if result.accuracy_before is not None:
        before, after = (f"{accuracy:.4f}" for accuracy in (result.accuracy_before, result.accuracy))
        made.add_row(f"accuracy on {result.images:,} {result.split} images", before, after)
    else:
        made.add_row(f"{result.split} images", "", f"{result.images:,}")
    made.add_row("images classified differently", "", f"{result.changed_decisions:,}")
    made.add_row("largest difference in a probability", "", f"{result.largest_difference:.2g}")
    made.add_row("size", "", f"{result.size / 1e6:,.1f} MB")
    made.add_row("time per image", "", f"{result.seconds_per_image * 1e3:,.1f} ms")
    return made


def predictions_table(predictions: Sequence[Prediction]) -> Table:
    """Renders the likeliest classes of each image, a line per image."""
    made = table(None, "image", "class", "probability", "next", numbers=("probability",))
    for prediction in predictions:
        if prediction.reason is not None:
            made.add_row(prediction.file, "", "", styled((prediction.reason, "red")))
            continue
        pairs = list(zip(prediction.classes, prediction.probabilities, strict=True))
        if prediction.unknown is not None:
            name, probability = styled(("unknown", "yellow")), ""
            others = [f"{prediction.unknown}; otherwise {_spelled(pairs[0])}", *map(_spelled, pairs[1:])]
        else:
            name, probability, others = styled(pairs[0][0]), f"{pairs[0][1]:.3f}", list(map(_spelled, pairs[1:]))
        made.add_row(prediction.file, name, probability, styled((", ".join(others), "dim")))
    return made


def _spelled(pair: tuple[str, float]) -> str:
    name, probability = pair
    return f"{name} {probability:.3f}"


def other_data_lines(found: OtherData) -> list[str]:
    """Says what was rejected, which classes could not be matched and which images not read."""
    said = acceptance_lines(found.acceptance) if found.acceptance else []
    if found.trained_on:
        said.append(f"warning: {counted(found.trained_on, 'image')} of these the run was trained on; {_TOO_GOOD}")
    became = ", which it should reject" if found.acceptance else " left out"
    said += [
        f"{name!r} is not a class of the network; {counted(count, 'image')}{became}"
        for name, count in found.unknown.items()
    ]
    said += [text] if found.evaluation and (text := averages_text(found.evaluation)) else []
    said += [f"{name}: {reason}" for name, reason in found.bad_images.items()]
    return said + list(left_out_lines(found.left_out))
