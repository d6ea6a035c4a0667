"""What becomes of a picture that has not the shape of what a network takes."""

from __future__ import annotations

from surgeon.catalogue.entry import Entry, fraction, table

RESIZINGS = table(
    Entry(name="squash", summary="The whole image, squashed to the right aspect ratio."),
    Entry(
        name="crop",
        summary="The centre of the image, cropped to the right aspect ratio.",
        parameters={
            "scale": fraction("Fraction of the largest possible sides to keep.", 1.0, exclusiveMinimum=0, maximum=1)
        },
        shorthand="scale",
    ),
    Entry(name="pad", summary="The whole image in its own aspect ratio, padded with black on two sides."),
)
