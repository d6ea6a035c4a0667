"""What becomes of a picture that has not the shape of what a network takes."""

from __future__ import annotations

from surgeon.catalogue.entry import Entry, fraction, table

RESIZINGS = table(
    Entry(name="squash", summary="The whole picture, squeezed along its longer side."),
    Entry(
        name="crop",
        summary="The middle of the picture in the right shape.",
        parameters={
            "scale": fraction("Part of the longest possible sides that is kept.", 1.0, exclusiveMinimum=0, maximum=1)
        },
        shorthand="scale",
    ),
    Entry(name="pad", summary="The whole picture in its own shape, with black above and below or left and right."),
)
