"""From the bytes of image files to pixels inside a TensorFlow graph, as ``surgeon.data.images`` does it with Pillow.

A SavedModel that takes encoded images has to decode them by itself. JPEG, PNG, GIF, WebP and BMP are read, of those
that move the first frame; transparent parts lie over white, and what EXIF says was stored turned is turned upright.
Moving WebP without transparency is an error: TensorFlow has no way to it, and ends the process at such a file where it
is to find the number of channels by itself (2.21.0).
"""

from __future__ import annotations

import re
from typing import Any

_ONE = 2.0**22  # Pillow's weights are whole numbers of this fraction
_EXIF_BYTES = 4096  # the orientation stands near the beginning of a file, in WebP near its end


def decode_images(encoded: Any, size: tuple[int, int]) -> Any:
    """Decodes and resizes images.

    Args:
        encoded: A string tensor of shape (n,), each the bytes of a JPEG, PNG, GIF, WebP or BMP file.
        size: Height and width in pixels.

    Returns:
        RGB from 0 to 255, float32 with whole numbers, of shape (n, height, width, 3).
    """
    import tensorflow as tf

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
    import tensorflow as tf

    height, width = size
    values = tf.cast(pixels, tf.float64)
    across = _rounded(tf.einsum("hwc,vw->hvc", values, _weights(tf.shape(pixels)[1], width)))
    return tf.cast(_rounded(tf.einsum("hvc,uh->uvc", across, _weights(tf.shape(pixels)[0], height))), tf.float32)


def _weights(old: Any, new: int) -> Any:
    """Returns the triangle filter that maps ``old`` pixels of a line to ``new``, float64 of shape (new, old).

    It is in units of Pillow's fixed point, of which float64 adds and multiplies up to 2 ** 53 exactly.
    """
    import tensorflow as tf

    scale = tf.cast(old, tf.float64) / new
    support = tf.maximum(scale, tf.constant(1, tf.float64))
    centers = (tf.range(new, dtype=tf.float64) + 0.5) * scale
    positions = tf.range(tf.cast(old, tf.float64), dtype=tf.float64) + 0.5
    weights = tf.nn.relu(1 - tf.abs(positions[None, :] - centers[:, None]) / support)
    return tf.floor(weights / tf.reduce_sum(weights, axis=1, keepdims=True) * _ONE + 0.5)


def _rounded(sums: Any) -> Any:
    """Returns sums of pixels times weights in whole pixels, halves rounded up."""
    import tensorflow as tf

    return tf.floor(sums / _ONE + 0.5)


def _decode(image: Any) -> Any:
    """Returns RGB from 0 to 255, float32 of shape (height, width, 3), upright."""
    import tensorflow as tf

    is_jpeg = tf.strings.substr(image, 0, 2) == b"\xff\xd8"
    is_png = tf.strings.substr(image, 0, 4) == b"\x89PNG"
    is_webp = (tf.strings.substr(image, 0, 4) == b"RIFF") & (tf.strings.length(image) > 30)

    def jpeg() -> Any:
        # The transform that Pillow uses, not the fast one.
        pixels = tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.cast(_upright(pixels, _orientation(image, 0)), tf.float32)

    def png() -> Any:
        return _upright(_over_white(tf.io.decode_png(image, channels=4)), _orientation(image, 0))

    def webp() -> Any:
        pixels = tf.cond(
            _is_transparent(image),
            lambda: _over_white(tf.io.decode_webp(image, channels=4)[0]),
            lambda: tf.cast(tf.io.decode_webp(image, channels=3)[0], tf.float32),
        )
        return _upright(pixels, _orientation(image, tf.maximum(tf.strings.length(image) - _EXIF_BYTES, 0)))

    def other() -> Any:
        return tf.cast(tf.io.decode_image(image, channels=3, expand_animations=False), tf.float32)

    pixels = tf.case([(is_jpeg, jpeg), (is_png, png), (is_webp, webp)], default=other)
    return tf.ensure_shape(pixels, (None, None, 3))


def _over_white(pixels: Any) -> Any:
    """Returns RGB of RGBA, float32 of shape (height, width, 3)."""
    import tensorflow as tf

    colours, opacity = tf.cast(pixels[..., :3], tf.float32), tf.cast(pixels[..., 3:], tf.float32) / 255.0
    return tf.floor(colours * opacity + 255.0 * (1.0 - opacity) + 0.5)


def _is_transparent(webp: Any) -> Any:
    """Tells whether a WebP file has four channels; TensorFlow decodes it only into as many as it has.

    Source: https://developers.google.com/speed/webp/docs/riff_container
    """
    import tensorflow as tf

    form = tf.strings.substr(webp, 12, 4)
    flags = tf.io.decode_raw(tf.strings.substr(webp, tf.where(form == b"VP8X", 20, 24), 1), tf.uint8)[0]
    return ((form == b"VP8X") | (form == b"VP8L")) & (tf.bitwise.bitwise_and(flags, tf.constant(16, tf.uint8)) > 0)


def _orientation(image: Any, start: Any) -> Any:
    """Returns the EXIF orientation in a part of an image's bytes, int32 from 1 to 8; 1 if there is none."""
    import tensorflow as tf

    head = tf.cast(tf.io.decode_raw(tf.strings.substr(image, start, _EXIF_BYTES), tf.uint8), tf.int32)
    head = tf.pad(head, [[0, 10]])
    count = tf.size(head) - 9
    windows = tf.stack([head[at : at + count] for at in range(10)], axis=1)
    # Tag 0x0112, type 3 (short), one value, in either order of bytes.
    little, big = [0x12, 1, 3, 0, 1, 0, 0, 0], [1, 0x12, 0, 3, 0, 0, 0, 1]
    found = tf.concat(
        [
            tf.boolean_mask(windows[:, 8], tf.reduce_all(windows[:, :8] == little, axis=1)),
            tf.boolean_mask(windows[:, 9], tf.reduce_all(windows[:, :8] == big, axis=1)),
            [1],
        ],
        axis=0,
    )[0]
    return tf.where((found >= 1) & (found <= 8), found, 1)


def _upright(pixels: Any, orientation: Any) -> Any:
    import tensorflow as tf

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
    return tf.switch_case(orientation - 1, turned)
