"""From the bytes of image files to pixels inside a TensorFlow graph, as ``surgeon.data.images`` does it with Pillow.

A SavedModel that takes encoded images has to decode them by itself. It either gives the pixels that surgeon gives or
refuses the file; ``surgeon.networks.image_files`` tells which. Transparent parts lie over white, of a moving image the
first frame counts, and what EXIF says was stored turned is turned upright.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from surgeon.networks.image_files import look_at
from surgeon.resizing import Resizing

_ADVICE = "; save it anew as an 8-bit JPEG or PNG in sRGB, or let `surgeon predict` read it"
_ONE = 2.0**22  # Pillow's weights are whole numbers of this fraction


def decode_images(encoded: Any, resizing: Resizing) -> Any:
    """Decodes and resizes images.

    Args:
        encoded: A string tensor of shape (n,), each the bytes of a JPEG, PNG, GIF, WebP or BMP file. What is refused
            becomes an InvalidArgumentError when the graph is computed.
        resizing: How.

    Returns:
        RGB from 0 to 255, float32 with whole numbers, of shape (n, height, width, 3).
    """
    shape = (*resizing.size, 3)
    pixels = tf.map_fn(
        lambda image: resize(_decode(image), resizing), encoded, fn_output_signature=tf.TensorSpec(shape, tf.float32)
    )
    return tf.ensure_shape(pixels, (None, *shape))


def refusal_in(message: str) -> str:
    """Returns what TensorFlow's message of an error in ``decode_images`` says about the image."""
    found = re.search(r"surgeon: ([^\]]*)", message)
    return found.group(1) if found else f"TensorFlow cannot decode it: {' '.join(message.split())[:200]}"


def resize(pixels: Any, resizing: Resizing) -> Any:
    """Resizes an image as Pillow does, to the bit: antialiased, a side at a time, in fixed point.

    Args:
        pixels: From 0 to 255, of shape (height, width, channels).
        resizing: How.

    Returns:
        Whole numbers from 0 to 255, float32 of the new shape.
    """
    picture = tf.unstack(tf.shape(pixels))[:2]
    taken = _largest_within(picture, resizing.size, resizing.scale) if resizing.rule == "crop" else picture
    covered = _largest_within(resizing.size, picture) if resizing.rule == "pad" else resizing.size
    down, across = (
        _weights(old, (old - part) // 2, part, new, resizing.interpolation)
        for old, part, new in zip(picture, taken, covered, strict=True)
    )
    narrowed = _rounded(tf.einsum("hwc,vw->hvc", tf.cast(pixels, tf.float64), across))
    fitted = tf.cast(_rounded(tf.einsum("hvc,uh->uvc", narrowed, down)), tf.float32)
    rests = [side - new for side, new in zip(resizing.size, covered, strict=True)]
    return tf.pad(fitted, [*([rest // 2, rest - rest // 2] for rest in rests), [0, 0]])


def _largest_within(outer: Sequence[Any], shape: Sequence[Any], scale: float = 1.0) -> list[Any]:
    """Does what ``surgeon.resizing.largest_within`` does."""
    above, beside, height, width = (tf.cast(side, tf.float64) for side in (*outer, *shape))
    sides = (tf.minimum(above, beside * height / width), tf.minimum(beside, above * width / height))
    return [tf.maximum(1, tf.cast(tf.floor(scale * side + 0.5), tf.int32)) for side in sides]


def _weights(old: Any, start: Any, part: Any, new: Any, interpolation: str) -> Any:
    """Returns the filter that maps a part of the ``old`` pixels of a line to ``new``, float64 of shape (new, old).

    It is in units of Pillow's fixed point, of which float64 adds and multiplies up to 2 ** 53 exactly.
    """
    curve, reach = _CURVES[interpolation]
    old, start, part, new = (tf.cast(count, tf.float64) for count in (old, start, part, new))
    scale = part / new
    stretch = tf.maximum(scale, tf.constant(1, tf.float64))
    centers = (tf.range(new, dtype=tf.float64) + 0.5) * scale + start
    distances = tf.abs(tf.range(old, dtype=tf.float64)[None, :] + 0.5 - centers[:, None]) / stretch
    weights = tf.where(distances < reach, curve(distances), tf.zeros_like(distances))
    shares = weights / tf.reduce_sum(weights, axis=1, keepdims=True) * _ONE
    return tf.sign(shares) * tf.floor(tf.abs(shares) + 0.5)


def _triangle(distance: Any) -> Any:
    return 1 - distance


def _cubic(distance: Any) -> Any:
    """Returns Keys' kernel with a = -0.5 (1981)."""
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * -0.5
    return tf.where(distance < 1, near, far)


def _lanczos(distance: Any) -> Any:
    return _sinc(distance) * _sinc(distance / 3)


def _sinc(distance: Any) -> Any:
    angle = distance * math.pi
    return tf.where(angle == 0, tf.ones_like(angle), tf.sin(angle) / tf.where(angle == 0, tf.ones_like(angle), angle))


# By Pillow's names: the curve, and the distance in pixels of the smaller picture at which it ends.
_CURVES: Mapping[str, tuple[Callable[[Any], Any], int]] = {
    "bilinear": (_triangle, 1),
    "bicubic": (_cubic, 2),
    "lanczos": (_lanczos, 3),
}


def _rounded(sums: Any) -> Any:
    """Returns sums of pixels times weights in whole pixels, halves rounded up; some filters go beyond the range."""
    return tf.clip_by_value(tf.floor(sums / _ONE + 0.5), 0, 255)


def _decode(image: Any) -> Any:
    """Returns RGB from 0 to 255, float32 of shape (height, width, 3), upright."""
    look = look_at(image)
    whole = tf.strings.join(["surgeon: ", look.refusal, _ADVICE])
    with tf.control_dependencies([tf.debugging.Assert(look.refusal == "", [whole])]):
        content = tf.identity(look.content)
    if look.kind == b"JPEG":  # with the transform that Pillow uses, not the fast one
        pixels = _opaque(tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"))
    elif look.kind == b"GIF":
        pixels = _first_frame(tf.io.decode_gif(content))
    elif look.kind == b"BMP":
        pixels = _opaque(tf.io.decode_bmp(content, channels=3))
    elif look.kind == b"PNG" and look.transparent:
        pixels = _over_white(tf.io.decode_png(content, channels=4))
    elif look.kind == b"PNG":
        pixels = _opaque(tf.io.decode_png(content, channels=3))
    elif look.transparent:
        pixels = _over_white(tf.io.decode_webp(content, channels=4)[0])
    else:
        pixels = _opaque(tf.io.decode_webp(content, channels=3)[0])
    return tf.ensure_shape(_upright(pixels, look.orientation), (None, None, 3))


def _opaque(pixels: Any) -> Any:
    return tf.cast(pixels, tf.float32)


def _first_frame(frames: Any) -> Any:
    """Returns the first image of a GIF, behind which there is one more if it was decoded to its end."""
    whole = tf.debugging.Assert(tf.shape(frames)[0] == 2, ["surgeon: a damaged GIF" + _ADVICE])
    with tf.control_dependencies([whole]):
        return tf.cast(frames[0], tf.float32)


def _over_white(pixels: Any) -> Any:
    """Returns RGB of RGBA, float32 of shape (height, width, 3)."""
    colours, opacity = tf.cast(pixels[..., :3], tf.float32), tf.cast(pixels[..., 3:], tf.float32) / 255.0
    return tf.floor(colours * opacity + 255.0 * (1.0 - opacity) + 0.5)


def _upright(pixels: Any, orientation: Any) -> Any:
    turned = [
        lambda: pixels,
        lambda: tf.reverse(pixels, [1]),
        lambda: tf.reverse(pixels, [0, 1]),
        lambda: tf.reverse(pixels, [0]),
        lambda: tf.transpose(pixels, [1, 0, 2]),
        lambda: tf.reverse(tf.transpose(pixels, [1, 0, 2]), [1]),
        lambda: tf.reverse(tf.transpose(pixels, [1, 0, 2]), [0, 1]),
        lambda: tf.reverse(tf.transpose(pixels, [1, 0, 2]), [0]),
    ]
    return tf.switch_case(tf.cast(orientation - 1, tf.int32), turned)
