"""From the samples that an image file stores to RGB as a viewer shows it: in sRGB, over white."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageCms

from surgeon.data.container import Container
from surgeon.errors import BadImageError

_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY"}  # Pillow's modes as profiles call them
_SAME = 1  # of 255, by which a profile of sRGB itself may differ from another


def to_rgb(image: Image.Image, container: Container, low: Image.Image | None = None) -> Image.Image:
    """Returns a decoded image as RGB in sRGB, its transparent parts over white.

    Args:
        image: The image as Pillow decodes it.
        container: What else its file says.
        low: The lower bytes of samples of 16 bits, where the colour that is transparent depends on them.

    Raises:
        BadImageError: If its numbers are not colours.
    """
    if image.mode in ("I", "F", "LAB"):
        raise BadImageError("its pixels are not grey, RGB or CMYK values of 8 or 16 bits; convert them to such")
    opacity = _opacity(image, container, low) if container.key else None
    if image.mode.startswith("I;16"):
        image = _eight_bits(image, container)
    elif image.mode == "LA":
        image, opacity = image.split()
    elif image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        opacity = image.getchannel("A")
    rgb = _in_srgb(image, container.profile)
    if opacity is None:
        return rgb
    rgb.paste("white", mask=ImageChops.invert(opacity))
    return rgb


def _opacity(image: Image.Image, container: Container, low: Image.Image | None) -> Image.Image:
    """Returns 0 where an image has the colour that is transparent, else 255."""
    key, depth = container.key or (), container.depth
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.where(np.asarray(image) == key[0], 0, 255).astype(np.uint8))
    if image.mode != "RGB":
        return _unequal(image.convert("L"), key[0] * 255 // ((1 << depth) - 1))
    pairs = list(zip(image.split(), (value >> depth - 8 for value in key), strict=True))
    if low is not None:
        pairs += zip(low.split(), (value & 0xFF for value in key), strict=True)
    opacity = Image.new("L", image.size, 0)
    for channel, value in pairs:
        opacity = ImageChops.lighter(opacity, _unequal(channel, value))
    return opacity


def _unequal(channel: Image.Image, value: int) -> Image.Image:
    return channel.point([0 if grey == value else 255 for grey in range(256)])


def _eight_bits(image: Image.Image, container: Container) -> Image.Image:
    """Returns grey of 12 or 16 bits in 8, which Pillow would clip instead of scale."""
    grey = (np.asarray(image) >> container.depth - 8).astype(np.uint8)
    return Image.fromarray(255 - grey if container.inverted else grey)


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts to sRGB, as browsers do: a profile that is broken or of another kind of colours is ignored."""
    image = image if image.mode in _SPACES else image.convert("L" if image.mode == "1" else "RGB")
    if profile and image.mode == "L" and _transform(profile, "L") is None:
        image = image.convert("RGB")  # grey is a shade of RGB, too
    transform = _transform(profile, image.mode) if profile else None
    if transform is not None:
        return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns what converts an image of a mode to sRGB, or None if nothing does or nothing would change."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.ImageCmsTransform(source, srgb, mode, "RGB")  # perceptual, as browsers
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "CMYK":
        return transform
    sample = Image.merge("RGB", [Image.linear_gradient("L").rotate(angle) for angle in (0, 90, 180)])
    sample = sample if mode == "RGB" else sample.getchannel(0)
    changes = ImageChops.difference(transform.apply(sample), sample.convert("RGB"))
    return transform if np.asarray(changes).max() > _SAME else None
