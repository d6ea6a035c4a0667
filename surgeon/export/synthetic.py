"""Small image files of all kinds, to see that a network which decodes by itself decodes as the run does."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageCms

from surgeon.data.orientation import ORIENTATION_TAG


def image_files() -> Iterator[tuple[str, bytes]]:
    """Yields what each file is, and the file."""
    for name, image, form, options in _images():
        file = io.BytesIO()
        image.save(file, form, **options)
        yield name, file.getvalue()


def _images() -> Iterator[tuple[str, Image.Image, str, dict[str, Any]]]:
    across = Image.linear_gradient("L").rotate(90).resize((52, 36))
    down = Image.linear_gradient("L").resize((52, 36))
    picture = Image.merge("RGB", (across, down, across.point(lambda value: 255 - value)))
    clear = picture.copy()
    clear.putalpha(Image.radial_gradient("L").resize(picture.size))
    negative = picture.point(lambda value: 255 - value)
    few = picture.quantize(16)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for form in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"):
        yield form, picture, form, {}
        yield f"grey {form}", across, form, {}
    for subsampling in range(3):
        yield f"JPEG with subsampling {subsampling}", picture, "JPEG", {"subsampling": subsampling}
    yield "progressive JPEG", picture, "JPEG", {"progressive": True}
    yield "JPEG in RGB", picture, "JPEG", {"keep_rgb": True}
    yield "CMYK JPEG", picture.convert("CMYK"), "JPEG", {}
    for colours, bits in ((2, 1), (4, 2), (16, 4), (256, 8)):
        yield f"PNG of {bits}-bit colours", picture.quantize(colours), "PNG", {"bits": bits}
    yield "PNG of 1 bit", across.convert("1"), "PNG", {}
    yield "PNG of 16 bits", across.convert("I;16").point(lambda value: value * 257), "PNG", {}
    yield "PNG with a transparent colour", picture, "PNG", {"transparency": picture.getpixel((20, 20))}
    for form in ("GIF", "PNG"):
        yield f"{form} with a transparent palette entry", few, form, {"transparency": 3}
    yield "BMP of 4-bit colours", few, "BMP", {}
    yield "lossless WEBP", picture, "WEBP", {"lossless": True}
    for form in ("PNG", "WEBP", "TIFF"):
        yield f"transparent {form}", clear, form, {}
    for form in ("GIF", "PNG", "WEBP"):
        yield f"moving {form}", picture, form, {"save_all": True, "append_images": [negative]}
    for form in ("JPEG", "PNG", "WEBP"):
        yield f"{form} with a profile", picture, form, {"icc_profile": srgb}
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[ORIENTATION_TAG] = orientation
            yield f"{form} of orientation {orientation}", picture, form, {"exif": exif}
    yield "JPEG with a long comment before EXIF", picture, "JPEG", {"comment": bytes(60_000), "exif": exif}
