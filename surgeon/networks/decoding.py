"""From the bytes of image files to pixels inside a TensorFlow graph, as ``surgeon.data.images`` does it with Pillow.

A SavedModel that takes encoded images has to decode them by itself. It either gives the pixels that surgeon gives or
refuses the file; ``surgeon.networks.image_files`` tells which. Transparent parts lie over white, of a moving image the
first frame counts, and what EXIF says was stored turned is turned upright.
"""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf

from surgeon.networks.image_files import look_at

_ADVICE = "; save it anew as an 8-bit JPEG or PNG in sRGB, or let `surgeon predict` read it"
_ONE = 2.0**22  # Pillow's weights are whole numbers of this fraction


def decode_images(encoded: Any, size: tuple[int, int]) -> Any:
    """Decodes and resizes images.

    Args:
        encoded: A string tensor of shape (n,), each the bytes of a JPEG, PNG, GIF, WebP or BMP file. What is refused
            becomes an InvalidArgumentError when the graph is computed.
        size: Height and width in pixels.

    Returns:
        RGB from 0 to 255, float32 with whole numbers, of shape (n, height, width, 3).
    """
    pixels = tf.map_fn(
        lambda image: resize(_decode(image), size), encoded, fn_output_signature=tf.TensorSpec((*size, 3), tf.float32)
    )
    return tf.ensure_shape(pixels, (None, *size, 3))


def refusal_in(message: str) -> str:
    """Returns what TensorFlow's message of an error in ``decode_images`` says about the image."""
    found = re.search(r"surgeon: ([^\]]*)", message)
    return found.group(1) if found else f"TensorFlow cannot decode it: {' '.join(message.split())[:200]}"


def resize(pixels: Any, size: tuple[int, int]) -> Any:
    """Resizes an image as Pillow's ``BILINEAR`` does, to the bit: antialiased, a side at a time, in fixed point.

    Args:
        pixels: From 0 to 255, of shape (height, width, channels).
        size: The new height and width.

    Returns:
        Whole numbers from 0 to 255, float32 of the new shape.
    """
    height, width = size
    values = tf.cast(pixels, tf.float64)
    across = _rounded(tf.einsum("hwc,vw->hvc", values, _weights(tf.shape(pixels)[1], width)))
    return tf.cast(_rounded(tf.einsum("hvc,uh->uvc", across, _weights(tf.shape(pixels)[0], height))), tf.float32)


def _weights(old: Any, new: int) -> Any:
    """Returns the triangle filter that maps ``old`` pixels of a line to ``new``, float64 of shape (new, old).

    It is in units of Pillow's fixed point, of which float64 adds and multiplies up to 2 ** 53 exactly.
    """
    scale = tf.cast(old, tf.float64) / new
    support = tf.maximum(scale, tf.constant(1, tf.float64))
    centers = (tf.range(new, dtype=tf.float64) + 0.5) * scale
    positions = tf.range(tf.cast(old, tf.float64), dtype=tf.float64) + 0.5
    weights = tf.nn.relu(1 - tf.abs(positions[None, :] - centers[:, None]) / support)
    return tf.floor(weights / tf.reduce_sum(weights, axis=1, keepdims=True) * _ONE + 0.5)


def _rounded(sums: Any) -> Any:
    """Returns sums of pixels times weights in whole pixels, halves rounded up."""
    return tf.floor(sums / _ONE + 0.5)


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
