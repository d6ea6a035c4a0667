"""What a TensorFlow graph finds in the bytes of an image file before TensorFlow decodes them.

TensorFlow's decoders know neither orientation nor colour profiles, take some files for others without a word, and
decode what is cut off as far as it goes. So a graph walks through a file's parts, and what is not known to come out as
surgeon decodes it is refused by name: a few rules that rather refuse too much.

The loops and conditions on tensors here are Python's: AutoGraph makes those of a graph of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from surgeon.formats import MAX_MEGAPIXELS

_MAX_SCANS, _MOST_PIXELS = 50, int(12 * MAX_MEGAPIXELS * 1e6)  # of a JPEG, as surgeon reads them; pixels of all scans
_XMP = rb"\C*?tiff:Orientation(?:=\"|>)([0-9])\C*"
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_IN_PNG = b"XML:com.adobe.xmp\0"
_EXIF_AS_TEXT = b"Raw profile type exif\0"
_EXIF = b"Exif\0\0"
# A second image of a pixel: a decoder that comes to it has decoded the first to its end.
_ANOTHER_GIF_IMAGE = b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0;"


class Look(NamedTuple):
    """What a file says of its image; tensors without dimensions.

    Attributes:
        kind: Which decoder it is for.
        refusal: Why that is not to be trusted with it; empty if it is.
        content: The file for the decoder.
        transparent: Whether it has a fourth channel.
        orientation: How the pixels are stored, by EXIF's number.
    """

    kind: Any
    refusal: Any
    content: Any
    transparent: Any
    orientation: Any


class _Parts(NamedTuple):
    refusal: Any
    content: Any
    transparent: Any
    exif: Any
    xmp: Any


def look_at(image: Any) -> Look:
    """Looks at an image file, a string tensor without dimensions."""
    kind = _kind(image)
    if kind == b"JPEG":
        parts = _look_at_jpeg(image)
    elif kind == b"PNG":
        parts = _look_at_png(image)
    elif kind == b"GIF":
        parts = _look_at_gif(image)
    elif kind == b"BMP":
        parts = _look_at_bmp(image)
    elif kind == b"WEBP":
        parts = _look_at_webp(image)
    else:
        refusal = tf.constant("not a JPEG, PNG, GIF, BMP or WebP image")
        parts = _Parts(refusal, image, tf.constant(False), tf.constant(b""), tf.constant(b""))
    orientation = _orientation(parts.exif, parts.xmp)
    # The checksums in a PNG are not computed here, and those of metadata decide whether they count.
    refusal = _first(
        (parts.refusal != "", parts.refusal),
        ((kind == b"PNG") & (orientation > 1), "a PNG that EXIF or XMP says is stored turned"),
    )
    return Look(kind, refusal, parts.content, parts.transparent, orientation)


def _kind(image: Any) -> Any:
    kind = tf.constant(b"")
    for start, name in ((b"\xff\xd8\xff", b"JPEG"), (b"\x89PNG\r\n\x1a\n", b"PNG"), (b"BM", b"BMP")):
        kind = tf.where(_starts(image, start), name, kind)
    kind = tf.where(_starts(image, b"GIF87a") | _starts(image, b"GIF89a"), b"GIF", kind)
    return tf.where(_starts(image, b"RIFF") & (_text(image, 8, 4) == b"WEBP"), b"WEBP", kind)


def _look_at_jpeg(image: Any) -> _Parts:
    """Looks at a JPEG; see ITU-T T.81."""
    length = _length(image)
    at = start = tf.constant(2, tf.int64)
    marker = tf.constant(0, tf.int64)
    frame, exif, xmp = tf.constant(b""), tf.constant(b""), tf.constant(b"")
    odd, profile = tf.constant(False), tf.constant(False)
    while not odd and marker != 0xDA:
        marker = _number(image, at, 2) - 0xFF00
        size = _number(image, at + 2, 2)
        body = _text(image, at + 4, tf.maximum(size - 2, 0))
        if marker == 0xFF:  # that many may stand before a marker
            at += 1
        else:
            start, at = at, at + 2 + size
            is_frame = (marker >= 0xC0) & (marker <= 0xC2)
            beside = ((marker >= 0xE0) & (marker <= 0xEF)) | (marker == 0xFE)
            tables = (marker == 0xC4) | (marker == 0xDA) | (marker == 0xDB) | (marker == 0xDD)
            odd = ~(is_frame | beside | tables) | (size < 2) | (at > length) | (is_frame & (frame != b""))
            frame = tf.where(is_frame, body, frame)
            profile |= (marker == 0xE2) & _starts(body, b"ICC_PROFILE\0")
            is_exif = (marker == 0xE1) & _starts(body, _EXIF)
            exif = tf.where(is_exif, tf.strings.join([exif, _text(body, len(_EXIF), size)]), exif)
            xmp = tf.where((marker == 0xE1) & _starts(body, _XMP_IN_JPEG), body, xmp)
    height, width = _number(frame, 1, 2), _number(frame, 3, 2)
    colours = _number(frame, 5, 1)
    sampled = [_number(frame, at, 1) for at in (7, 10, 13)]
    usual = ((sampled[0] == 0x11) | (sampled[0] == 0x21) | (sampled[0] == 0x22)) & (sampled[1] == 0x11)
    usual = (colours == 1) | ((colours == 3) & usual & (sampled[2] == 0x11))
    scans, coefficients, ended = _scans(_text(image, start, length))
    refusal = _first(
        (odd | (frame == b""), "a JPEG that is cut off, or has parts that TensorFlow may read otherwise"),
        (_number(frame, 0, 1) != 8, "a JPEG that is not of 8 bits"),
        ((colours != 1) & (colours != 3), "a JPEG in CMYK, or in other colours than grey and RGB"),
        (~usual, "a JPEG whose colours are reduced in an unusual way"),
        (profile, "a JPEG with a colour profile"),
        _too_large(width, height),
        (~ended | (coefficients < 64 * colours), "a JPEG that is truncated: its end or some scans are missing"),
        ((scans > _MAX_SCANS) | (width * height * scans > _MOST_PIXELS), "a JPEG of too many scans"),
    )
    return _Parts(refusal, image, tf.constant(False), exif, xmp)


def _scans(rest: Any) -> tuple[Any, Any, Any]:
    """Returns how many scans a JPEG has, how many coefficients of a block they give to the last bit, and if it ends.

    Where some are missing decoders make them up, each release in its own way.
    """
    data = tf.pad(tf.io.decode_raw(rest, tf.uint8), [[0, 16]])
    escapes = tf.where(data[:-16] == 0xFF)[:, 0]
    markers = tf.gather(data, escapes + 1)
    ends = escapes[markers == 0xD9]
    ended = tf.size(ends) > 0
    starts = escapes[markers == 0xDA]
    starts = starts[starts < tf.where(ended, tf.reduce_min(ends), 0)]
    colours = tf.minimum(tf.cast(tf.gather(data, starts + 4), tf.int64), 4)
    behind = starts + 5 + 2 * colours
    first, last, bits = (tf.cast(tf.gather(data, behind + place), tf.int64) for place in range(3))
    given = tf.where(bits & 0x0F == 0, colours * (last - first + 1), 0)
    return tf.size(starts, tf.int64), tf.reduce_sum(given), ended


def _look_at_png(image: Any) -> _Parts:
    """Looks at a PNG; see https://www.w3.org/TR/png-3/."""
    length = _length(image)
    at, kind, none = tf.constant(8, tf.int64), tf.constant(b""), tf.constant(0, tf.int64)
    exifs = xmps = transparent = palette = none
    exif, xmp = tf.constant(b""), tf.constant(b"")
    odd, hidden, profile, has_pixels = tf.constant(False), tf.constant(False), tf.constant(False), tf.constant(False)
    depth, colour = _number(image, 24, 1), _number(image, 25, 1)
    while not odd and kind != b"IEND":
        size, kind = _number(image, at, 4), _text(image, at + 4, 4)
        if kind == b"IDAT":
            has_pixels = tf.constant(True)
        else:
            body = _text(image, at + 8, size)
            critical = (_number(kind, 0, 1) & 0x20 == 0) & (kind != b"PLTE") & (kind != b"IEND")
            odd = critical & ((kind != b"IHDR") | (at != 8))
            out_of_place = has_pixels | (transparent > 0) | ((colour == 3) & (palette == 0))
            odd |= (kind == b"tRNS") & (out_of_place | (size == 0))
            transparent = tf.where(kind == b"tRNS", size, transparent)
            palette = tf.where(kind == b"PLTE", size, palette)
            profile |= kind == b"iCCP"
            exif, exifs = tf.where(kind == b"eXIf", body, exif), exifs + tf.cast(kind == b"eXIf", tf.int64)
            is_xmp = (kind == b"iTXt") & _starts(body, _XMP_IN_PNG)
            xmp, xmps = tf.where(is_xmp, body, xmp), xmps + tf.cast(is_xmp, tf.int64)
            hidden |= is_xmp & (_number(body, len(_XMP_IN_PNG), 1) != 0)  # compressed
            hidden |= ((kind == b"tEXt") | (kind == b"zTXt")) & _starts(body, _EXIF_AS_TEXT)
        at += 12 + size
        odd |= at > length
    expected = tf.where(
        colour == 0, tf.constant(2, tf.int64), tf.where(colour == 2, tf.constant(6, tf.int64), palette // 3)
    )
    unusual = (transparent > expected) | ((colour != 3) & (transparent < expected)) | (depth < 8)
    unsure = hidden | (exifs > 1) | (xmps > 1) | ((exifs > 0) & tf.strings.regex_full_match(xmp, _XMP))
    has_key = transparent > 0
    refusal = _first(
        (odd | ~has_pixels, "a PNG that is cut off, or has parts that TensorFlow may read otherwise"),
        (
            has_key & unusual & (colour <= 3),
            "a PNG with transparent colours of under 8 bits, or of another number of bytes",
        ),
        (profile, "a PNG with a colour profile"),
        (unsure, "a PNG that may say in more than one place how it is stored"),
        _too_large(_number(image, 16, 4), _number(image, 20, 4)),
    )
    return _Parts(refusal, image, has_key | (colour == 4) | (colour == 6), exif, xmp)


def _look_at_gif(image: Any) -> _Parts:
    """Looks at a GIF; see https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""
    width, height, table = _number(image, 6, 2, True), _number(image, 8, 2, True), _colour_table(image, 10)
    at = 13 + table
    transparent = tf.constant(False)
    while _number(image, at, 1) == 0x21:
        transparent |= (_number(image, at + 1, 1) == 0xF9) & (_number(image, at + 3, 1) & 1 == 1)
        at = _after_blocks(image, at + 2)
    local_table = _colour_table(image, at + 9)
    is_whole = (_number(image, at + 1, 4) == 0) & (_number(image, at + 5, 4) == _number(image, 6, 4))
    end = _after_blocks(image, at + 11 + local_table)
    refusal = _first(
        ((_number(image, at, 1) != 0x2C) | (end > _length(image)), "a GIF that is cut off, or damaged"),
        (table + local_table == 0, "a GIF without colours"),
        (transparent, "a transparent GIF"),
        (~is_whole, "a GIF whose first image is smaller than the whole"),
        _too_large(width, height),
    )
    content = tf.strings.join([_text(image, 0, end), _ANOTHER_GIF_IMAGE])
    return _Parts(refusal, content, tf.constant(False), tf.constant(b""), tf.constant(b""))


def _look_at_bmp(image: Any) -> _Parts:
    """Looks at a BMP, of which TensorFlow knows the plainest kind only."""
    width, height, header = (_number(image, at, 4, True) for at in (18, 22, 14))
    plain = (header == 40) | (header == 108) | (header == 124)
    plain &= (_number(image, 26, 4, True) == 24 << 16 | 1) & (_number(image, 30, 4) == 0) & (width < 1 << 31)
    end = _number(image, 10, 4, True) + (width * 3 + 3) // 4 * 4 * height
    refusal = _first(
        (~plain | (height >= 1 << 31), "a BMP of another kind than 24 bits, uncompressed, from the bottom up"),
        _too_large(width, height),
        (end > _length(image), "a BMP that is cut off"),
    )
    return _Parts(refusal, _text(image, 0, end), tf.constant(False), tf.constant(b""), tf.constant(b""))


def _look_at_webp(image: Any) -> _Parts:
    """Looks at a WebP; see https://developers.google.com/speed/webp/docs/riff_container."""
    form, end = _text(image, 12, 4), 8 + _number(image, 4, 4, True)
    extended = form == b"VP8X"
    flags = tf.where(extended, _number(image, 20, 1), tf.constant(0, tf.int64))
    at = tf.constant(12, tf.int64)
    exif, xmp, alpha = tf.constant(b""), tf.constant(b""), tf.constant(False)
    frame, lossless = tf.constant(b""), tf.constant(False)
    while at < tf.minimum(end, _length(image)):
        kind, size = _text(image, at, 4), _number(image, at + 4, 4, True)
        body = _text(image, at + 8, size)
        exif = tf.where((kind == b"EXIF") & (exif == b"") & (flags & 8 > 0), body, exif)
        xmp = tf.where((kind == b"XMP ") & (xmp == b"") & (flags & 4 > 0), body, xmp)
        frame = tf.where((kind == b"VP8 ") | (kind == b"VP8L"), _text(body, 0, 10), frame)
        lossless |= kind == b"VP8L"
        alpha |= (kind == b"ALPH") | ((kind == b"VP8L") & (_number(body, 4, 1) & 0x10 > 0))
        at += 8 + size + size % 2
    bits = _number(frame, 1, 4, True)
    width = tf.where(lossless, (bits & 0x3FFF) + 1, _number(frame, 6, 2, True) & 0x3FFF)
    height = tf.where(lossless, (bits // (1 << 14) & 0x3FFF) + 1, _number(frame, 8, 2, True) & 0x3FFF)
    is_whole = (_number(image, 24, 3, True) + 1 == width) & (_number(image, 27, 3, True) + 1 == height)
    refusal = _first(
        ((at > end) | (end > _length(image)), "a WebP that is cut off, or damaged"),
        (flags & 2 > 0, "a moving WebP"),
        (flags & 0x20 > 0, "a WebP with a colour profile"),
        (extended & (~is_whole | (alpha != (flags & 0x10 > 0))), "a WebP whose header says other than its pixels"),
        _too_large(width, height),
    )
    return _Parts(refusal, image, alpha, exif, xmp)


def _first(*rules: tuple[Any, Any]) -> Any:
    """Returns what the first rule that is broken says, or an empty text."""
    text = tf.constant("")
    for broken, what in reversed(rules):
        text = tf.where(broken, what, text)
    return text


def _too_large(width: Any, height: Any) -> tuple[Any, str]:
    most = int(MAX_MEGAPIXELS * 1e6)
    return (width < 1) | (height < 1) | (width * height > most), f"more than {MAX_MEGAPIXELS:g} megapixels, or none"


def _orientation(exif: Any, xmp: Any) -> Any:
    """Returns how an image is stored, from 1 to 8, by the rules of ``surgeon.data.orientation``."""
    while _starts(exif, _EXIF):
        exif = _text(exif, len(_EXIF), _length(exif))
    little = _starts(exif, b"II*\0")
    at = _number(exif, 4, 4, little)
    count = tf.where(little | _starts(exif, b"MM\0*"), _number(exif, at, 2, little), 0)
    at += 2
    found = tf.constant(-1, tf.int64)
    while found < 0 and count > 0 and at + 8 <= _length(exif):
        kind = _number(exif, at + 2, 2, little)
        value, size = tf.constant(-1, tf.int64), tf.constant(0, tf.int64)
        for number, width in ((1, 1), (3, 2), (4, 4)):  # EXIF's types that are whole numbers, and their bytes
            value = tf.where(kind == number, _number(exif, at + 8, width, little), value)
            size = tf.where(kind == number, tf.constant(width, tf.int64), size)
        is_it = (_number(exif, at, 2, little) == 0x0112) & (_number(exif, at + 4, 4, little) == 1)
        is_it &= at + 8 + size <= _length(exif)
        found = tf.where(is_it, value, found)
        at += 12
        count -= 1
    if found < 0 and tf.strings.regex_full_match(xmp, _XMP):
        found = _number(tf.strings.regex_replace(xmp, _XMP, rb"\1"), 0, 1) - ord("0")
    return tf.where((found >= 1) & (found <= 8), found, 1)


def _colour_table(image: Any, at: Any) -> Any:
    """Returns the bytes of a GIF's table of colours, of which a byte tells."""
    packed = _number(image, at, 1)
    return tf.where(packed & 0x80 > 0, 3 * 2 ** ((packed & 7) + 1), 0)


def _after_blocks(image: Any, at: Any) -> Any:
    """Returns where a GIF goes on behind blocks, each of which begins with its size; the last is empty."""
    size = _number(image, at, 1)
    while size > 0:
        at += 1 + size
        size = _number(image, at, 1)
    return at + 1


def _length(content: Any) -> Any:
    return tf.cast(tf.strings.length(content), tf.int64)


def _text(content: Any, at: Any, size: Any) -> Any:
    """Returns some bytes; fewer at the end of what there is, and none behind it."""
    return tf.strings.substr(content, tf.minimum(tf.cast(at, tf.int64), _length(content)), tf.cast(size, tf.int64))


def _starts(content: Any, start: bytes) -> Any:
    return _text(content, 0, len(start)) == start


def _number(content: Any, at: Any, size: int, little: Any = False) -> Any:
    """Returns a whole number of some bytes; behind the end of what there is are zeros."""
    present = tf.strings.join([_text(content, at, size), bytes(size)])
    digits = tf.cast(tf.io.decode_raw(tf.strings.substr(present, 0, size), tf.uint8), tf.int64)
    places = tf.constant([256**place for place in range(size)], tf.int64)
    return tf.reduce_sum(digits * tf.where(little, places, places[::-1]))
