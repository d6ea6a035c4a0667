"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import io
from pathlib import Path

from surgeon.catalogue.entry import Parameters
from surgeon.catalogue.sources.listing import LabelledImage, Listing, SourceSpec


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = []
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True), start=1):
        png = io.BytesIO()
        grey = (pixels * (255 / 16)).round().astype("uint8")
        # Compressed bytes would differ between releases of zlib, and with them the digests and the splits.
        Image.fromarray(grey).save(png, "PNG", compress_level=0)
        images.append(LabelledImage(f"digit_{number:04}.png", str(label), None, data=png.getvalue()))
    return Listing(tuple(images), _classes({}), ignored=0)


def _classes(parameters: Parameters) -> tuple[str, ...]:
    return tuple("0123456789")


SPEC = SourceSpec(
    name="digits",
    summary="Handwritten digits: 1,797 images of 8 by 8 pixels, 10 classes; they come with scikit-learn.",
    read=_read,
    classes=_classes,
    splits=lambda parameters: False,
)
