"""Odd image files, each with the pixels that it must give, or with what the refusal must say.

Everything is made from one small picture, as bytes of each format where Pillow does not write the oddity. What it must
give does not come from surgeon: it is computed from the picture, or for lossy formats taken from the plain file.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = 44, 28  # no multiples of 8, so that the blocks of JPEG hang over


@dataclass(frozen=True, eq=False)
class OddImage:
    """A file and what it must come to.

    Attributes:
        name: Format and oddity.
        data: The file.
        pixels: RGB from 0 to 255, uint8 of shape (height, width, 3) at the image's own size, as a viewer shows it on
            white; None if the file must be refused.
        tolerance: How far from that each value may be.
        refusal: A part of the reason why it must be refused.
    """

    name: str
    data: bytes
    pixels: Pixels | None
    tolerance: int = 0
    refusal: str = ""


@cache
def odd_images() -> tuple[OddImage, ...]:
    """Returns all of them; those in HEIC only where the extra is installed."""
    makers = (png_files, jpeg_files, gif_files, bmp_files, webp_files, tiff_files, avif_files, heic_files, other_files)
    return tuple(image for maker in makers for image in maker())


def picture() -> Pixels:
    """A picture that looks different however it is turned, and in which red, green and blue differ."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    ramps = np.stack([x * 255 // (WIDTH - 1), y * 255 // (HEIGHT - 1), 255 - (x + y) * 255 // (WIDTH + HEIGHT - 2)], -1)
    ramps[:7, :11] = (250, 10, 20)
    return ramps.astype(np.uint8)


RGB = picture()
PHOTO = Image.fromarray(RGB)
GREY = np.asarray(PHOTO.convert("L"))
RIGHT = np.arange(WIDTH) >= WIDTH // 2  # the half that is transparent, where anything is
ALPHA = np.broadcast_to(np.where(RIGHT, 0, 255).astype(np.uint8), (HEIGHT, WIDTH))
CLEARED = np.where(RIGHT[:, None], np.uint8(255), RGB)


def three(grey: Any) -> Pixels:
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, -1)


def save(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def plain(data: bytes) -> Pixels:
    """Decodes a file without oddities, for formats that are lossy."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


# Metadata

# From the pixels as they lie in a file to those that are shown, by EXIF's number.
TURNS: dict[int, Callable[[Any], Any]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}


def exif(orientation: int, *, order: str = "<", kind: int = 3, second: int = 0) -> bytes:
    """The content of an EXIF block; ``second`` is an orientation in IFD1, which is about the thumbnail."""
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    entry = struct.pack(order + "HHI", 0x0112, kind, 1) + value
    first = struct.pack(order + "H", 1) + entry if orientation else struct.pack(order + "H", 0)
    follows = 8 + len(first) + 4 if second else 0
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + first
    block += struct.pack(order + "I", follows)
    if second:
        block += struct.pack(order + "HHHIHH", 1, 0x0112, 3, 1, second, 0) + struct.pack(order + "I", 0)
    return block


def xmp(orientation: int, *, element: bool = False) -> bytes:
    attribute = b"" if element else b' tiff:Orientation="%d"' % orientation
    inside = b"<tiff:Orientation>%d</tiff:Orientation>" % orientation if element else b""
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        + attribute + b">" + inside + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )  # fmt: skip


def icc(space: bytes, tags: dict[bytes, bytes], *, connection: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    """An ICC profile of version 2."""
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(content))
        body += padded
    white = struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), bytes(4), 0x02400000, kind, space, connection)
    head += bytes(12) + b"acsp" + bytes(28) + white
    return head + bytes(128 - len(head)) + table + body


def fixed(*numbers: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))


SRGB_COLOURS = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])  # to XYZ, D50
ADOBE_COLOURS = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
WHITE = fixed(0.9642, 1, 0.8249)


def rgb_profile(colours: Any, exponent: float) -> bytes:
    columns = {b"rXYZ": fixed(*colours[:, 0]), b"gXYZ": fixed(*colours[:, 1]), b"bXYZ": fixed(*colours[:, 2])}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma(exponent))
    return icc(b"RGB ", {b"wtpt": WHITE, **columns, **curves})


def srgb_encoded(linear: Any) -> Pixels:
    bounded = np.clip(linear, 0, 1)
    curve = np.where(bounded <= 0.0031308, 12.92 * bounded, 1.055 * bounded ** (1 / 2.4) - 0.055)
    return np.round(curve * 255).astype(np.uint8)


def from_rgb_profile(pixels: Any, colours: Any, exponent: float) -> Pixels:
    linear = (pixels / 255.0) ** exponent @ (np.linalg.inv(SRGB_COLOURS) @ colours).T
    return srgb_encoded(linear)


SWAPPED = rgb_profile(SRGB_COLOURS[:, ::-1], 2.2)  # what a file calls red is blue
ADOBE = rgb_profile(ADOBE_COLOURS, 2.2)
LINEAR_GREY = icc(b"GRAY", {b"wtpt": WHITE, b"kTRC": gamma(1)})


def cmyk_profile() -> bytes:
    """A printer on whose paper only black ink shows: L* falls from 100 to 0 as black rises."""
    ramp = bytes(range(256))
    corners = b"".join(bytes([0 if corner & 1 else 255, 128, 128]) for corner in range(16))
    matrix = struct.pack(">9i", *(65536 if at % 4 == 0 else 0 for at in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + corners + ramp * 3
    return icc(b"CMYK", {b"wtpt": WHITE, b"A2B0": table}, connection=b"Lab ", kind=b"prtr")


def from_cmyk_profile(black: Any) -> Pixels:
    lightness = 100 * (1 - black / 255.0)
    luminance = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    return three(srgb_encoded(luminance))


# PNG


def chunk(kind: bytes, content: bytes, *, crc: int = 0) -> bytes:
    checksum = zlib.crc32(kind + content) ^ crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(
    depth: int, colour: int, rows: list[bytes], *chunks: bytes, behind: bytes = b"", interlaced: bool = False
) -> bytes:
    """A PNG of samples that are packed already; ``chunks`` come before the pixels, ``behind`` after them."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlaced)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    first, last = chunk(b"IDAT", body[:50]), chunk(b"IDAT", body[50:])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + first + last + behind + chunk(b"IEND", b"")
    )


def packed(samples: Any, depth: int) -> list[bytes]:
    """Rows of samples of some bits each, as PNG, BMP and TIFF keep them."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in samples]
    bits = np.unpackbits(np.asarray(samples, np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return [np.packbits(row).tobytes() for row in bits.reshape(len(samples), -1)]


def adam7(samples: Any, depth: int) -> list[bytes]:
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    return [row for top, left, down, right in passes for row in packed(samples[top::down, left::right], depth)]


def png_files() -> Iterator[OddImage]:
    yield from png_depths()
    yield from png_key_colours()
    yield from png_metadata()
    yield from png_damage()


def png_depths() -> Iterator[OddImage]:
    for depth in (1, 2, 4, 8):
        most = 2**depth - 1
        samples = GREY >> (8 - depth)
        shown = three(samples.astype(int) * 255 // most)
        yield OddImage(f"png grey {depth}", png(depth, 0, packed(samples, depth)), shown)
        interlaced = png(depth, 0, adam7(samples, depth), interlaced=True)
        yield OddImage(f"png grey {depth} interlaced", interlaced, shown)
        colours = np.random.default_rng(depth).integers(0, 256, (most + 1, 3), np.uint8)
        palette = chunk(b"PLTE", colours.tobytes())
        yield OddImage(f"png palette {depth}", png(depth, 3, packed(samples, depth), palette), colours[samples])
        opacity = np.full(most + 1, 255, np.uint8)
        opacity[most // 2] = 0
        laid = np.where(opacity[samples][..., None] == 0, np.uint8(255), colours[samples])
        trns = chunk(b"tRNS", opacity[: most // 2 + 1].tobytes())
        yield OddImage(f"png palette {depth} transparent", png(depth, 3, packed(samples, depth), palette, trns), laid)
    half = chunk(b"PLTE", bytes([200, 100, 0, 40, 40, 40])) + chunk(b"tRNS", bytes([128]))
    mixed = np.where(GREY[..., None] < 99, np.uint8([227, 177, 127]), np.uint8([40, 40, 40]))
    yield OddImage("png palette half transparent", png(1, 3, packed(GREY >= 99, 1), half), mixed, tolerance=1)
    wide, wide_grey = RGB.astype(np.uint16) << 8 | 0x37, GREY.astype(np.uint16) << 8 | 0x37
    alpha = ALPHA.astype(np.uint16) * 257
    yield OddImage("png grey 16", png(16, 0, packed(wide_grey, 16)), three(GREY))
    yield OddImage("png rgb 16", png(16, 2, packed(wide, 16)), RGB)
    yield OddImage("png rgb 16 interlaced", png(16, 2, adam7(wide, 16), interlaced=True), RGB)
    yield OddImage("png rgba 16", png(16, 6, packed(np.dstack([wide, alpha]), 16)), CLEARED)
    grey_cleared = np.where(RIGHT[:, None], np.uint8(255), three(GREY))
    yield OddImage("png grey-alpha 16", png(16, 4, packed(np.dstack([wide_grey, alpha]), 16)), grey_cleared)
    yield OddImage("png grey-alpha 8", png(8, 4, packed(np.dstack([GREY, ALPHA]), 8)), grey_cleared)
    yield OddImage("png rgb 8", png(8, 2, packed(RGB, 8)), RGB)
    yield OddImage("png rgba 8", png(8, 6, packed(np.dstack([RGB, ALPHA]), 8)), CLEARED)
    yield OddImage("png rgb with a suggested palette", png(8, 2, packed(RGB, 8), chunk(b"PLTE", bytes(24))), RGB)


def png_key_colours() -> Iterator[OddImage]:
    at = (HEIGHT // 2, WIDTH // 3)
    for depth in (1, 2, 4, 8, 16):
        samples = GREY.astype(np.uint16) << 8 | np.arange(WIDTH, dtype=np.uint16) if depth == 16 else GREY >> 8 - depth
        grey = samples >> 8 if depth == 16 else samples.astype(int) * 255 // (2**depth - 1)
        key = 0 if depth == 1 else int(samples[at])
        shown = np.where((samples == key)[..., None], np.uint8(255), three(grey))
        trns = chunk(b"tRNS", struct.pack(">H", key))
        yield OddImage(f"png grey {depth} key colour", png(depth, 0, packed(samples, depth), trns), shown)
    for depth in (8, 16):
        wide = RGB if depth == 8 else RGB.astype(np.uint16) << 8 | np.arange(WIDTH, dtype=np.uint16)[:, None]
        key_colour = wide[3, 5]
        shown = np.where((wide == key_colour).all(-1)[..., None], np.uint8(255), RGB)
        trns = chunk(b"tRNS", key_colour.astype(">u2").tobytes())
        yield OddImage(f"png rgb {depth} key colour", png(depth, 2, packed(wide, depth), trns), shown)
    absent = chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    yield OddImage("png rgb 8 key colour absent", png(8, 2, packed(RGB, 8), absent), RGB)


def png_metadata() -> Iterator[OddImage]:
    rgb = partial(png, 8, 2, packed(RGB, 8))
    turned = TURNS[6](RGB)
    for order, name in (("<", "little"), (">", "big")):
        before = chunk(b"eXIf", exif(6, order=order))
        yield OddImage(f"png eXIf {name} endian", rgb(before), turned)
    yield OddImage("png eXIf after the pixels", rgb(behind=chunk(b"eXIf", exif(6))), turned)
    packet = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)
    yield OddImage("png orientation in XMP only", rgb(chunk(b"iTXt", packet)), turned)
    raw = b"Exif\0\0" + exif(6)
    text = f"\nexif\n{len(raw):8}\n{raw.hex()}\n".encode()
    profile = b"Raw profile type exif\0\0" + zlib.compress(text)
    yield OddImage("png orientation in a raw profile", rgb(chunk(b"zTXt", profile)), turned)
    yield OddImage("png eXIf broken", rgb(chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff")), RGB)
    for name, content, shown in (
        ("that swaps red and blue", SWAPPED, from_rgb_profile(RGB[..., ::-1], SRGB_COLOURS, 2.2)),
        ("Adobe RGB", ADOBE, from_rgb_profile(RGB, ADOBE_COLOURS, 2.2)),
        ("broken", SWAPPED[:200], RGB),
        ("of CMYK", cmyk_profile(), RGB),
    ):
        tolerance = 0 if shown is RGB else 2
        iccp = chunk(b"iCCP", b"a\0\0" + zlib.compress(content))
        yield OddImage(f"png profile {name}", rgb(iccp), shown, tolerance)
    swapped = chunk(b"iCCP", b"a\0\0" + zlib.compress(SWAPPED))
    blue = np.where(RIGHT[:, None], np.uint8(255), from_rgb_profile(RGB[..., ::-1], SRGB_COLOURS, 2.2))
    yield OddImage("png profile, alpha", png(8, 6, packed(np.dstack([RGB, ALPHA]), 8), swapped), blue, 2)
    linear = three(srgb_encoded(GREY / 255))
    iccp = chunk(b"iCCP", b"a\0\0" + zlib.compress(LINEAR_GREY))
    yield OddImage("png profile of grey", png(8, 0, packed(GREY, 8), iccp), linear, 2)
    palette = chunk(b"PLTE", bytes([250, 100, 0, 40, 40, 90]))
    colours = from_rgb_profile(np.array([[0, 100, 250], [90, 40, 40]]), SRGB_COLOURS, 2.2)
    bits = (GREY >= 99).astype(int)
    yield OddImage("png profile, palette", png(1, 3, packed(bits, 1), swapped, palette), colours[bits], 2)
    yield OddImage(
        "png profile that unpacks to 64 MB", rgb(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 26)))), RGB
    )
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 26)))
    yield OddImage("png text that unpacks to 64 MB", rgb(bomb), RGB)
    yield OddImage("png 2 MB of text", rgb(chunk(b"tEXt", b"Comment\0" + b"x" * 2_000_000)), RGB)
    moving = save(PHOTO, "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    yield OddImage("png that moves", moving, RGB)


def png_damage() -> Iterator[OddImage]:
    rgb = partial(png, 8, 2, packed(RGB, 8))
    whole = rgb()
    for name, oddity in {
        "text broken": chunk(b"zTXt", b"Comment\0\0not compressed"),
        "text of another method": chunk(b"zTXt", b"Comment\0\x07abc"),
        "text empty": chunk(b"iTXt", b""),
        "text with a wrong CRC": chunk(b"tEXt", b"Comment\0x", crc=1),
        "eXIf with a wrong CRC": chunk(b"eXIf", exif(6), crc=1),
        "profile with a wrong CRC": chunk(b"iCCP", b"a\0\0" + zlib.compress(SWAPPED), crc=1),
        "profile not compressed": chunk(b"iCCP", b"a\0\0nothing"),
        "profile of another method": chunk(b"iCCP", b"a\0\7" + zlib.compress(SWAPPED)),
        "pHYs short": chunk(b"pHYs", b"\0"),
        "gAMA empty": chunk(b"gAMA", b""),
        "cHRM short": chunk(b"cHRM", b"\0\0"),
        "sRGB empty": chunk(b"sRGB", b""),
        "acTL broken": chunk(b"acTL", b"\0"),
        "unknown chunk": chunk(b"abCd", b"whatever"),
    }.items():
        yield OddImage(f"png {name}", rgb(oddity), RGB)
        yield OddImage(f"png {name}, after the pixels", rgb(behind=oddity), RGB)
    yield OddImage("png without IEND", whole[:-12], RGB)
    yield OddImage("png trailing bytes", whole + bytes(500), RGB)
    yield OddImage("png text cut off behind the pixels", rgb(behind=chunk(b"tEXt", bytes(500)))[:-300], RGB)
    yield OddImage("png truncated", whole[:-60], None, refusal="truncated")
    start = whole.index(b"IDAT")
    damaged = bytearray(whole)
    damaged[start + 4 + 50 + 12 + 30] ^= 0x10  # in the second chunk of pixels
    yield OddImage("png damaged pixels", bytes(damaged), None, refusal="damaged")
    header = bytearray(whole)
    header[29] ^= 1
    yield OddImage("png header with a wrong CRC", bytes(header), None, refusal="damaged")
    yield OddImage("png palette missing", png(1, 3, packed(GREY > 99, 1)), None, refusal="damaged")
    yield OddImage("png unknown critical chunk", rgb(chunk(b"CgBI", bytes(4))), None, refusal="damaged")
    huge = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = whole[:8] + chunk(b"IHDR", huge) + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")
    yield OddImage("png bomb", bomb, None, refusal="megapixels")


# JPEG


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def inserted(data: bytes, *segments: bytes) -> bytes:
    """A JPEG file with segments after its start."""
    return data[:2] + b"".join(segments) + data[2:]


def without(data: bytes, marker: int) -> bytes:
    """A JPEG file without the header segments of one kind."""
    kept, at = data[:2], 2
    while data[at + 1] != 0xDA:
        length = struct.unpack(">H", data[at + 2 : at + 4])[0] + 2
        kept += b"" if data[at + 1] == marker else data[at : at + length]
        at += length
    return kept + data[at:]


def profile_segments(content: bytes, pieces: int = 1) -> list[bytes]:
    size = -(-len(content) // pieces)
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return [
        segment(0xE2, b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part)
        for number, part in enumerate(parts, start=1)
    ]


def jpeg_files() -> Iterator[OddImage]:
    yield from jpeg_codings()
    yield from jpeg_orientations()
    yield from jpeg_profiles()
    yield from jpeg_damage()


def jpeg_codings() -> Iterator[OddImage]:
    encoded = partial(save, PHOTO, "JPEG", quality=92)
    grey = save(PHOTO.convert("L"), "JPEG", quality=92)
    for name, data in {
        "4:4:4": encoded(subsampling=0),
        "4:2:2": encoded(subsampling=1),
        "4:2:0": encoded(subsampling=2),
        "progressive": encoded(progressive=True),
        "progressive 4:2:0": encoded(progressive=True, subsampling=2),
        "restart markers": encoded(restart_marker_blocks=1),
        "optimized": encoded(optimize=True),
        "grey": grey,
        "grey progressive": save(PHOTO.convert("L"), "JPEG", quality=92, progressive=True),
    }.items():
        yield OddImage(f"jpeg {name}", data, plain(data))
    kept = encoded(subsampling=0, keep_rgb=True)
    yield OddImage("jpeg RGB by component names", kept, plain(kept))
    stored = without(encoded(subsampling=0), 0xE0)
    as_rgb = inserted(stored, segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"))
    with Image.open(io.BytesIO(stored)) as image:
        image.draft("YCbCr", None)
        planes = np.asarray(image)
    yield OddImage("jpeg RGB by Adobe's marker", as_rgb, planes)
    cmyk = save(Image.fromarray(np.dstack([255 - RGB, GREY // 2]), "CMYK"), "JPEG", quality=95)
    shown = plain(cmyk)
    yield OddImage("jpeg CMYK", cmyk, shown)
    yield OddImage("jpeg CMYK without Adobe's marker", without(cmyk, 0xEE), shown)
    ycck = without(cmyk, 0xEE)
    ycck = inserted(ycck, segment(0xEE, b"Adobe\0\x64\0\0\0\0\2"))
    yield OddImage("jpeg YCCK", ycck, plain(ycck))


def jpeg_orientations() -> Iterator[OddImage]:
    base = save(PHOTO, "JPEG", quality=92, subsampling=0)
    shown = plain(base)
    for orientation, turn in TURNS.items():
        for order, name in (("<", "little"), (">", "big")):
            data = inserted(base, segment(0xE1, b"Exif\0\0" + exif(orientation, order=order)))
            yield OddImage(f"jpeg orientation {orientation} {name} endian", data, turn(shown))
    six = segment(0xE1, b"Exif\0\0" + exif(6))
    turned = TURNS[6](shown)
    far = [segment(0xED, b"Photoshop 3.0\0" + bytes(60_000))] * 3
    for name, data, pixels in (
        ("orientation far away", inserted(base, *far, six), turned),
        ("orientation after a comment", inserted(base, segment(0xFE, b"Exif\0\0" + exif(3)), six), turned),
        ("orientation after other APP1", inserted(base, segment(0xE1, b"other\0"), six), turned),
        ("orientation after the tables", with_late_segment(base, six), turned),
        ("orientation as a long", inserted(base, segment(0xE1, b"Exif\0\0" + exif(6, kind=4))), turned),
        ("orientation of the thumbnail only", inserted(base, segment(0xE1, b"Exif\0\0" + exif(0, second=6))), shown),
        ("orientation of the thumbnail, too", inserted(base, segment(0xE1, b"Exif\0\0" + exif(6, second=3))), turned),
        ("orientation 0", inserted(base, segment(0xE1, b"Exif\0\0" + exif(0))), shown),
        ("orientation 9", inserted(base, segment(0xE1, b"Exif\0\0" + exif(9))), shown),
        ("orientation in XMP only", inserted(base, segment(0xE1, XMP_NAME + xmp(6))), turned),
        ("orientation in XMP as an element", inserted(base, segment(0xE1, XMP_NAME + xmp(6, element=True))), turned),
        ("orientation in XMP and EXIF", inserted(base, segment(0xE1, XMP_NAME + xmp(3)), six), turned),
        ("EXIF empty", inserted(base, segment(0xE1, b"Exif\0\0")), shown),
        ("EXIF nonsense", inserted(base, segment(0xE1, b"Exif\0\0nonsense")), shown),
        ("EXIF that points outside", inserted(base, segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f")), shown),
        ("EXIF cut off", inserted(base, segment(0xE1, b"Exif\0\0" + exif(6)[:15])), shown),
        ("two images in one file", mpo(), shown),
    ):
        yield OddImage(f"jpeg {name}", data, pixels)


XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"


def with_late_segment(data: bytes, late: bytes) -> bytes:
    at = data.index(b"\xff\xda")
    return data[:at] + late + data[at:]


def mpo() -> bytes:
    """What phones write with a preview or a depth map behind the photograph."""
    return save(PHOTO, "MPO", save_all=True, append_images=[Image.fromarray(255 - RGB)], quality=92, subsampling=0)


def jpeg_profiles() -> Iterator[OddImage]:
    base = save(PHOTO, "JPEG", quality=92, subsampling=0)
    shown = plain(base)
    grey = save(PHOTO.convert("L"), "JPEG", quality=92)
    shown_grey = plain(grey)
    black = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    black[..., 3] = GREY
    cmyk = save(Image.fromarray(black, "CMYK"), "JPEG", quality=100)
    with Image.open(io.BytesIO(cmyk)) as image:
        ink = np.asarray(image)[..., 3]
    swapped = from_rgb_profile(shown[..., ::-1], SRGB_COLOURS, 2.2)
    two = profile_segments(ADOBE, 2)
    for name, data, pixels in (
        ("that swaps red and blue", inserted(base, *profile_segments(SWAPPED)), swapped),
        ("Adobe RGB", inserted(base, *profile_segments(ADOBE)), from_rgb_profile(shown, ADOBE_COLOURS, 2.2)),
        ("in two parts", inserted(base, *two), from_rgb_profile(shown, ADOBE_COLOURS, 2.2)),
        ("in two parts, the second first", inserted(base, *two[::-1]), from_rgb_profile(shown, ADOBE_COLOURS, 2.2)),
        ("of grey", inserted(grey, *profile_segments(LINEAR_GREY)), three(srgb_encoded(shown_grey[..., 0] / 255))),
        ("of CMYK", inserted(cmyk, *profile_segments(cmyk_profile())), from_cmyk_profile(ink)),
    ):
        yield OddImage(f"jpeg profile {name}", data, pixels, tolerance=2)
    for name, data, pixels in (
        ("with a part missing", inserted(base, two[0]), shown),
        ("broken", inserted(base, *profile_segments(SWAPPED[:300])), shown),
        ("empty", inserted(base, segment(0xE2, b"ICC_PROFILE\0")), shown),
        ("of CMYK for RGB", inserted(base, *profile_segments(cmyk_profile())), shown),
        ("of grey for RGB", inserted(base, *profile_segments(LINEAR_GREY)), shown),
        ("of RGB for CMYK", inserted(cmyk, *profile_segments(ADOBE)), plain(cmyk)),
    ):
        yield OddImage(f"jpeg profile {name}", data, pixels)


def jpeg_damage() -> Iterator[OddImage]:
    base = save(PHOTO, "JPEG", quality=92, subsampling=0)
    bare, shown = without(base, 0xE0), plain(base)
    progressive = save(PHOTO, "JPEG", quality=92, progressive=True)
    for name, data, pixels in (
        ("without the end marker", base[:-2], shown),
        ("with half the end marker", base[:-1], shown),
        ("progressive without the end marker", progressive[:-2], plain(progressive)),
        ("trailing bytes", base + bytes(500), shown),
        ("trailing bytes instead of the end marker", base[:-2] + bytes(500), shown),
        ("JFIF short", inserted(bare, segment(0xE0, b"JFIF\0")), shown),
        ("JFIF nearly short", inserted(bare, segment(0xE0, b"JFIF\0\1")), shown),
        ("JFIF twice", inserted(bare, segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"), segment(0xE0, b"JFIF\0")), shown),
        ("without JFIF", bare, shown),
        ("Adobe's marker short", inserted(base, segment(0xEE, b"Adobe")), shown),
        ("Photoshop broken", inserted(base, segment(0xED, b"Photoshop 3.0\x008BIM\4\4")), shown),
        ("MPF broken", inserted(base, segment(0xE2, b"MPF\0II*\0")), shown),
        ("fill bytes", inserted(base, b"\xff\xff\xff"), shown),
    ):
        yield OddImage(f"jpeg {name}", data, pixels)
    yield OddImage("jpeg truncated", base[: len(base) * 3 // 4], None, refusal="truncated")
    yield OddImage("jpeg truncated a little", base[:-30], None, refusal="truncated")
    yield OddImage("jpeg progressive truncated", progressive[: len(progressive) * 3 // 4], None, refusal="truncated")
    last = progressive.rindex(b"\xff\xda")
    yield OddImage("jpeg progressive without its last scan", progressive[:last], None, refusal="truncated")
    yield OddImage("jpeg header only", base[: base.index(b"\xff\xda")], None, refusal="truncated|damaged")
    scan = progressive[last:-2]
    yield OddImage("jpeg 1,000 scans", progressive[:-2] + scan * 1000 + b"\xff\xd9", None, refusal="scans")
    twelve = base.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c")
    yield OddImage("jpeg of 12 bits", twelve, None, refusal="12|bits")
    frame = base.index(b"\xff\xc0") + 5
    huge = base[:frame] + struct.pack(">HH", 60_000, 60_000) + base[frame + 4 :]
    yield OddImage("jpeg bomb", huge, None, refusal="megapixels")


# GIF


def gif_files() -> Iterator[OddImage]:
    image = PHOTO.quantize(64)
    indices, shown = np.asarray(image), np.asarray(image.convert("RGB"))
    key = int(indices[HEIGHT // 2, WIDTH // 2])
    cleared = np.where((indices == key)[..., None], np.uint8(255), shown)
    negative = Image.fromarray(255 - RGB).quantize(64)
    yield OddImage("gif", save(image, "GIF"), shown)
    yield OddImage("gif interlaced", save(image, "GIF", interlace=1), shown)
    yield OddImage("gif grey", save(PHOTO.convert("L"), "GIF"), three(GREY))
    yield OddImage("gif transparent", save(image, "GIF", transparency=key), cleared)
    moving = save(image, "GIF", save_all=True, append_images=[negative])
    yield OddImage("gif that moves", moving, shown)
    clear = save(image, "GIF", save_all=True, append_images=[negative], transparency=key, disposal=2)
    yield OddImage("gif that moves, transparent", clear, cleared)
    for background in (0, key):
        part = bytearray(save(image, "GIF", interlace=0))
        part[6:10] = struct.pack("<HH", WIDTH + 9, HEIGHT + 6)
        part[11] = background
        at = part.index(b",")
        part[at + 1 : at + 5] = struct.pack("<HH", 4, 3)
        around = np.full((HEIGHT + 6, WIDTH + 9, 3), 255, np.uint8)
        around[3 : 3 + HEIGHT, 4 : 4 + WIDTH] = shown
        yield OddImage(f"gif whose first frame is smaller, background {background}", bytes(part), around)
    whole = save(image, "GIF")
    yield OddImage("gif trailing bytes", whole + bytes(300), shown)
    yield OddImage("gif without its trailer", whole[:-1], shown)
    yield OddImage("gif truncated", whole[: len(whole) // 2], None, refusal="truncated|damaged")
    bomb = whole[:6] + struct.pack("<HH", 65_000, 65_000) + whole[10:]
    yield OddImage("gif bomb", bomb, None, refusal="megapixels")


# BMP


def bmp(
    bits: int, compression: int, body: bytes, *, height: int = HEIGHT, between: bytes = b"", colours: int = 0
) -> bytes:
    """A BMP of rows that are padded already; ``between`` holds masks or the palette."""
    offset = 14 + 40 + len(between)
    info = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, compression, len(body), 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + between + body


def padded(rows: list[bytes]) -> bytes:
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def bmp_files() -> Iterator[OddImage]:
    blue_first = RGB[..., ::-1]
    rows = [row.tobytes() for row in blue_first]
    yield OddImage("bmp 24", bmp(24, 0, padded(rows[::-1])), RGB)
    yield OddImage("bmp 24 top down", bmp(24, 0, padded(rows), height=-HEIGHT), RGB)
    unused = np.dstack([blue_first, np.zeros_like(GREY)])
    yield OddImage("bmp 32", bmp(32, 0, unused[::-1].tobytes()), RGB)
    five = (RGB >> 3).astype(int)
    words = (five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]).astype("<u2")
    yield OddImage(
        "bmp 16", bmp(16, 0, padded([row.tobytes() for row in words[::-1]])), (five * 255 // 31).astype(np.uint8)
    )
    six = (RGB[..., 1] >> 2).astype(int)
    words = (five[..., 0] << 11 | six << 5 | five[..., 2]).astype("<u2")
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    shown = np.dstack([five[..., 0] * 255 // 31, six * 255 // 63, five[..., 2] * 255 // 31]).astype(np.uint8)
    yield OddImage(
        "bmp 16 with masks", bmp(16, 3, padded([row.tobytes() for row in words[::-1]]), between=masks), shown
    )
    for depth in (1, 4, 8):
        indices = GREY >> (8 - depth)
        colours = np.random.default_rng(depth).integers(0, 256, (2**depth, 3), np.uint8)
        palette = np.dstack([colours[:, ::-1][None], np.zeros((1, 2**depth, 1), np.uint8)]).tobytes()
        data = bmp(depth, 0, padded(packed(indices, depth)[::-1]), between=palette)
        yield OddImage(f"bmp palette {depth}", data, colours[indices])
        if depth == 8:
            yield OddImage("bmp palette run-length", bmp(8, 1, runs(indices[::-1]), between=palette), colours[indices])
    yield OddImage("bmp grey", save(PHOTO.convert("L"), "BMP"), three(GREY))
    whole = save(PHOTO, "BMP")
    yield OddImage("bmp trailing bytes", whole + bytes(300), RGB)
    yield OddImage("bmp truncated", whole[:-500], None, refusal="truncated|damaged")
    bomb = whole[:18] + struct.pack("<ii", 60_000, 60_000) + whole[26:]
    yield OddImage("bmp bomb", bomb, None, refusal="megapixels")


def runs(indices: Any) -> bytes:
    """Run-length encoding of BMP, each pixel a run of its own."""
    lines = [b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in indices]
    return b"".join(lines) + b"\0\1"


# WebP


def webp_files() -> Iterator[OddImage]:
    lossless = partial(save, PHOTO, "WEBP", lossless=True)
    clear = Image.fromarray(np.dstack([RGB, ALPHA]))
    lossy = save(PHOTO, "WEBP", quality=90)
    yield OddImage("webp lossless", lossless(), RGB)
    yield OddImage("webp lossy", lossy, plain(lossy))
    yield OddImage("webp lossless, alpha", save(clear, "WEBP", lossless=True, exact=True), CLEARED)
    half = save(clear, "WEBP", quality=90, exact=True)
    with Image.open(io.BytesIO(half)) as image:
        shown = np.where(RIGHT[:, None], np.uint8(255), np.asarray(image)[..., :3])
    yield OddImage("webp lossy, alpha", half, shown)
    for orientation, turn in TURNS.items():
        data = lossless(exif=b"Exif\0\0" + exif(orientation))
        yield OddImage(f"webp orientation {orientation}", data, turn(RGB))
    yield OddImage("webp orientation without a prefix", lossless(exif=exif(6, order=">")), TURNS[6](RGB))
    yield OddImage("webp orientation in XMP only", lossless(xmp=xmp(6)), TURNS[6](RGB))
    yield OddImage("webp EXIF broken", lossless(exif=b"Exif\0\0nonsense"), RGB)
    swapped = from_rgb_profile(RGB[..., ::-1], SRGB_COLOURS, 2.2)
    yield OddImage("webp profile that swaps red and blue", lossless(icc_profile=SWAPPED), swapped, 2)
    yield OddImage("webp profile broken", lossless(icc_profile=SWAPPED[:300]), RGB)
    negative = Image.fromarray(np.dstack([255 - RGB, ALPHA]))
    moving = save(PHOTO, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(255 - RGB)])
    yield OddImage("webp that moves", moving, RGB)
    moving = save(clear, "WEBP", lossless=True, exact=True, save_all=True, append_images=[negative])
    yield OddImage("webp that moves, alpha", moving, CLEARED)
    whole = lossless()
    yield OddImage("webp trailing bytes", whole + bytes(300), RGB)
    yield OddImage("webp truncated", whole[: len(whole) // 2], None, refusal="truncated|damaged")
    bomb = bytearray(lossless(exif=b"Exif\0\0" + exif(1)))
    bomb[24:30] = (16_000).to_bytes(3, "little") * 2
    yield OddImage("webp bomb", bytes(bomb), None, refusal="megapixels")


# TIFF


def tiff(tags: dict[int, tuple[int, tuple[int, ...]]], strip: bytes, order: str = "<") -> bytes:
    """A TIFF of one strip; ``tags`` have a type, 3 for short and 4 for long, and values."""
    strip_at = 8
    directory_at = strip_at + len(strip) + len(strip) % 2
    tags = {256: (4, (WIDTH,)), 257: (4, (HEIGHT,)), **tags}
    tags |= {273: (4, (strip_at,)), 278: (4, (HEIGHT,)), 279: (4, (len(strip),))}
    values_at = directory_at + 2 + 12 * len(tags) + 4
    entries, values = struct.pack(order + "H", len(tags)), b""
    for tag, (kind, numbers) in sorted(tags.items()):
        content = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        entries += struct.pack(order + "HHI", tag, kind, len(numbers))
        if len(content) > 4:
            entries += struct.pack(order + "I", values_at + len(values))
            values += content
        else:
            entries += content.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", directory_at)
    return head + strip + bytes(len(strip) % 2) + entries + bytes(4) + values


def shorts(*numbers: int) -> tuple[int, tuple[int, ...]]:
    return 3, numbers


def tiff_files() -> Iterator[OddImage]:
    for compression in (None, "tiff_lzw", "tiff_deflate", "packbits"):
        yield OddImage(f"tiff {compression or 'raw'}", save(PHOTO, "TIFF", compression=compression), RGB)
    tiled = {322: WIDTH // 16 * 16 + 16, 323: 32}
    yield OddImage("tiff tiled", save(PHOTO, "TIFF", compression="tiff_lzw", tiffinfo=tiled), RGB)
    colours = {258: shorts(8, 8, 8), 262: shorts(2), 277: shorts(3)}
    for order, name in (("<", "little"), (">", "big")):
        yield OddImage(f"tiff {name} endian", tiff(colours, RGB.tobytes(), order), RGB)
        wide = (RGB.astype(np.uint16) << 8 | 0x37).astype(f"{order}u2").tobytes()
        yield OddImage(f"tiff rgb 16 {name} endian", tiff({**colours, 258: shorts(16, 16, 16)}, wide, order), RGB)
        wide = (GREY.astype(np.uint16) << 8 | 0x37).astype(f"{order}u2").tobytes()
        for photometric, shown in ((1, GREY), (0, 255 - GREY)):
            grey = {258: shorts(16), 262: shorts(photometric), 277: shorts(1)}
            name16 = f"tiff grey 16 {name} endian{'' if photometric else ', white is 0'}"
            yield OddImage(name16, tiff(grey, wide, order), three(shown))
    for photometric, shown in ((1, GREY), (0, 255 - GREY)):
        grey = {258: shorts(8), 262: shorts(photometric), 277: shorts(1)}
        yield OddImage(f"tiff grey 8{'' if photometric else ', white is 0'}", tiff(grey, GREY.tobytes()), three(shown))
    twelve = np.repeat(GREY.astype(np.uint16) << 4, 1)
    pairs = twelve.reshape(-1, 2).astype(np.uint32)
    triples = (pairs[:, 0] << 12 | pairs[:, 1]).astype(">u4").tobytes()
    strip = b"".join(triples[at + 1 : at + 4] for at in range(0, len(triples), 4))
    yield OddImage("tiff grey 12", tiff({258: shorts(12), 262: shorts(1), 277: shorts(1)}, strip), three(GREY))
    yield OddImage(
        "tiff 1", save(PHOTO.convert("1"), "TIFF", compression="group4"), three(np.asarray(PHOTO.convert("1")) * 255)
    )
    palette = PHOTO.quantize(64)
    yield OddImage("tiff palette", save(palette, "TIFF"), np.asarray(palette.convert("RGB")))
    clear = Image.fromarray(np.dstack([RGB, ALPHA]))
    yield OddImage("tiff alpha", save(clear, "TIFF", compression="tiff_lzw"), CLEARED)
    cmyk = Image.fromarray(np.dstack([255 - RGB, GREY // 2]), "CMYK")
    yield OddImage("tiff CMYK", save(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB")))
    black = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    black[..., 3] = GREY
    printed = save(Image.fromarray(black, "CMYK"), "TIFF", icc_profile=cmyk_profile())
    yield OddImage("tiff CMYK with a profile", printed, from_cmyk_profile(GREY), 2)
    swapped = from_rgb_profile(RGB[..., ::-1], SRGB_COLOURS, 2.2)
    yield OddImage("tiff profile that swaps red and blue", save(PHOTO, "TIFF", icc_profile=SWAPPED), swapped, 2)
    pages = save(PHOTO, "TIFF", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    yield OddImage("tiff of two pages", pages, RGB)
    for orientation, turn in TURNS.items():
        yield OddImage(
            f"tiff orientation {orientation}", tiff({**colours, 274: shorts(orientation)}, RGB.tobytes()), turn(RGB)
        )
    jpeg = save(PHOTO, "TIFF", compression="jpeg", quality=95)
    yield OddImage("tiff with JPEG inside", jpeg, plain(jpeg))
    floats = tiff(
        {258: shorts(32), 262: shorts(1), 277: shorts(1), 339: shorts(3)}, (GREY / 255).astype("<f4").tobytes()
    )
    yield OddImage("tiff of floats", floats, None, refusal="8 or 16 bits")
    raw = tiff({**colours, 254: (4, (1,)), 50706: (1, (1, 4, 0, 0))} | {50706: (4, (0x401,))}, RGB.tobytes())
    yield OddImage("tiff that is a raw photograph's preview", raw, None, refusal="convert")
    whole = tiff(colours, RGB.tobytes())
    yield OddImage(
        "tiff truncated", save(PHOTO, "TIFF", compression="tiff_lzw")[:-200], None, refusal="truncated|damaged"
    )
    yield OddImage("tiff trailing bytes", whole + bytes(300), RGB)
    bomb = tiff({**colours, 256: (4, (60_000,)), 257: (4, (60_000,))}, RGB.tobytes())
    yield OddImage("tiff bomb", bomb, None, refusal="megapixels")
    tile = {**colours, 259: shorts(8), 322: (4, (60_000,)), 323: (4, (60_000,)), 324: (4, (8,)), 325: (4, (100,))}
    yield OddImage(
        "tiff with a bomb as its tile", tiff(tile, zlib.compress(bytes(1 << 20))), None, refusal="megapixels"
    )


# AVIF and HEIC


def avif_files() -> Iterator[OddImage]:
    encoded = partial(save, PHOTO, "AVIF", quality=90, subsampling="4:4:4")
    whole = encoded()
    shown = plain(whole)
    yield OddImage("avif", whole, shown)
    clear = save(Image.fromarray(np.dstack([RGB, ALPHA])), "AVIF", quality=90, subsampling="4:4:4")
    with Image.open(io.BytesIO(clear)) as image:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image)
    yield OddImage("avif alpha", clear, np.asarray(opaque.convert("RGB")), 1)
    for orientation, turn in TURNS.items():
        yield OddImage(f"avif orientation {orientation}", encoded(exif=exif(orientation)), turn(shown))
    moving = encoded(save_all=True, append_images=[Image.fromarray(255 - RGB)])
    yield OddImage("avif that moves", moving, plain(moving))
    swapped = from_rgb_profile(shown[..., ::-1], SRGB_COLOURS, 2.2)
    yield OddImage("avif profile that swaps red and blue", encoded(icc_profile=SWAPPED), swapped, 2)
    yield OddImage("avif truncated", whole[: len(whole) // 2], None, refusal="truncated|damaged")


def heic_files() -> Iterator[OddImage]:
    try:
        import pillow_heif
    except ImportError:
        return
    for orientation, turn in TURNS.items():
        buffer = io.BytesIO()
        pillow_heif.from_pillow(PHOTO).save(buffer, quality=-1, chroma=444, exif=b"Exif\0\0" + exif(orientation))
        data = buffer.getvalue()
        if orientation == 1:
            yield OddImage("heic truncated", data[: len(data) // 2], None, refusal="truncated|damaged")
        yield OddImage(f"heic orientation {orientation}", data, turn(RGB), tolerance=3)


# What is no image that surgeon reads


def other_files() -> Iterator[OddImage]:
    yield OddImage("empty", b"", None, refusal="empty")
    yield OddImage("notes", b"notes, and a good many more of them", None, refusal="not an image that surgeon reads")
    yield OddImage("a page", b"<!DOCTYPE html><html><body>Not found</body></html>", None, refusal="web page")
    yield OddImage("zeros", bytes(4000), None, refusal="not an image that surgeon reads")
    for form in ("PPM", "JPEG2000", "ICO", "TGA", "PCX", "SGI"):
        yield OddImage(form.lower(), save(PHOTO, form), None, refusal="convert|not an image that surgeon reads")
    for name, start in {
        "psd": b"8BPS\0\1",
        "jxl": b"\xff\x0a\xfa\x7f",
        "jxl in a container": b"\0\0\0\x0cJXL \r\n\x87\n",
        "jp2 codestream": b"\xff\x4f\xff\x51",
        "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "pdf": b"%PDF-1.7\n",
        "exr": b"v/1\x01",
        "cr2": b"II*\0\x10\0\0\0CR\2\0",
        "cr3": b"\0\0\0\x18ftypcrx \0\0\0\1",
        "raf": b"FUJIFILMCCD-RAW 0201",
        "orf": b"IIRO\x08\0\0\0",
        "rw2": b"IIU\0\x18\0\0\0",
        "qoi": b"qoif\0\0\0\4",
        "xcf": b"gimp xcf v011\0",
    }.items():
        yield OddImage(name, start + bytes(200), None, refusal="convert")
