from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_images import OddImage, odd_images
from PIL import Image

from surgeon.data import images as module
from surgeon.data.images import decode_image, load_image, look_at
from surgeon.data.orientation import UPRIGHT
from surgeon.errors import BadImageError
from surgeon.formats import MAX_IMAGE_BYTES, MAX_MEGAPIXELS, read_image
from surgeon.resizing import Resizing

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMOOTH = np.stack(np.meshgrid(np.linspace(20, 220, 32), np.linspace(30, 200, 24)), -1)
PHOTO = Image.fromarray(np.dstack([SMOOTH, SMOOTH.mean(-1)]).astype(np.uint8))  # 24 high, 32 wide


def encode(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode_image(data))


def reason(data: bytes) -> str:
    with pytest.raises(BadImageError) as error:
        load_image(data, Resizing((8, 8)))
    return error.value.reason


def png(depth: int, colour_type: int, samples: NDArray[Any], *chunks: tuple[bytes, bytes]) -> bytes:
    """Encodes what Pillow does not write; ``samples`` is of shape (height, bytes or 16-bit numbers a row)."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    )


EXAMPLES = {
    "jpeg": encode(PHOTO, "JPEG", quality=95),
    "progressive jpeg": encode(PHOTO, "JPEG", progressive=True),
    "cmyk jpeg": encode(PHOTO.convert("CMYK"), "JPEG", quality=95),
    "png": encode(PHOTO, "PNG"),
    "palette png": encode(PHOTO.quantize(256), "PNG"),
    "gif": encode(PHOTO, "GIF"),
    "bmp": encode(PHOTO, "BMP"),
    "lossless webp": encode(PHOTO, "WEBP", lossless=True),
    "webp": encode(PHOTO, "WEBP", quality=95),
}


class TestFormats:
    @pytest.mark.parametrize("name", EXAMPLES)
    def test_each_looks_like_the_original(self, name: str) -> None:
        image = load_image(EXAMPLES[name], Resizing((24, 32)))
        assert image.shape == (24, 32, 3)
        assert image.dtype == np.uint8
        tolerance = 0 if name in ("png", "bmp", "lossless webp") else 12
        np.testing.assert_allclose(image.astype(int), np.asarray(PHOTO), atol=tolerance)

    def test_the_first_frame_of_a_moving_image_counts(self) -> None:
        frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
        for format_ in ("GIF", "WEBP", "PNG"):
            data = encode(frames[0], format_, save_all=True, append_images=frames[1:], lossless=True)
            np.testing.assert_array_equal(pixels(data), np.full((4, 6, 3), [255, 0, 0]))

    def test_resizing_antialiases(self) -> None:
        stripes = np.zeros((64, 64, 3), np.uint8)
        stripes[:, ::2] = 255
        np.testing.assert_allclose(load_image(encode(Image.fromarray(stripes), "PNG"), Resizing((8, 8))), 128, atol=8)
        assert load_image(EXAMPLES["png"], Resizing((5, 7))).shape == (5, 7, 3)

    def test_the_result_can_be_written_to(self) -> None:
        assert load_image(EXAMPLES["png"], Resizing((24, 32))).flags.writeable


@pytest.mark.parametrize("odd", odd_images(), ids=lambda odd: odd.name)
class TestOddImages:
    def test_each_gives_its_pixels_or_a_reason(self, odd: OddImage) -> None:
        if odd.pixels is None:
            with pytest.raises(BadImageError) as error:
                decode_image(odd.data)
            assert re.search(odd.refusal, error.value.reason), error.value.reason
            assert re.search("convert|remove|again|smaller|anew|download|empty", error.value.reason), (
                "does not say what to do"
            )
            return
        found = pixels(odd.data)
        assert found.shape == odd.pixels.shape
        np.testing.assert_allclose(found.astype(int), odd.pixels, atol=odd.tolerance)

    def test_a_look_sees_the_same(self, odd: OddImage) -> None:
        if odd.pixels is None:
            with pytest.raises(BadImageError, match=odd.refusal):
                look_at(odd.data, 1000)
            return
        look = look_at(odd.data, 1000)
        assert look.size == odd.pixels.shape[:2]
        np.testing.assert_array_equal(look.picture, decode_image(odd.data))


class TestOrientation:
    @pytest.mark.parametrize("orientation", [1, *UPRIGHT, 9])
    def test_a_rotated_photograph_equals_the_upright_one(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        turn_back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
        stored = PHOTO
        if orientation in UPRIGHT:
            stored = PHOTO.transpose(turn_back.get(orientation, UPRIGHT[orientation]))
        for format_ in ("PNG", "WEBP"):
            np.testing.assert_array_equal(pixels(encode(stored, format_, exif=exif, lossless=True)), PHOTO)
        photograph = encode(stored, "JPEG", exif=exif, quality=100, subsampling=0)
        np.testing.assert_allclose(pixels(photograph).astype(int), np.asarray(PHOTO), atol=3)

    def test_broken_metadata_do_not_matter(self) -> None:
        for exif in (
            b"Exif\0\0nonsense",
            b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\xff\xff\xff\xff\xff\xff\xff\xff",
        ):
            np.testing.assert_array_equal(pixels(encode(PHOTO, "JPEG", exif=exif)), pixels(encode(PHOTO, "JPEG")))


class TestColours:
    def test_grey(self) -> None:
        grey = PHOTO.convert("L")
        expected = np.repeat(np.asarray(grey)[..., None], 3, -1)
        np.testing.assert_array_equal(pixels(encode(grey, "PNG")), expected)
        np.testing.assert_array_equal(pixels(encode(grey, "BMP")), expected)
        two = grey.convert("1")
        np.testing.assert_array_equal(pixels(encode(two, "PNG"))[..., 1], np.asarray(two) * 255)

    def test_alpha_is_laid_over_white(self) -> None:
        half = Image.new("RGBA", (2, 1))
        half.putdata([(200, 100, 0, 128), (9, 9, 9, 0)])
        expected = [[[227, 177, 127], [255, 255, 255]]]
        np.testing.assert_allclose(pixels(encode(half, "PNG")), expected, atol=1)
        grey = Image.new("LA", (2, 1))
        grey.putdata([(100, 128), (9, 0)])
        np.testing.assert_allclose(pixels(encode(grey, "PNG")), [[[177] * 3, [255] * 3]], atol=1)

    def test_palette_with_transparency(self) -> None:
        image = Image.new("P", (3, 1))
        image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
        image.putdata([0, 1, 2])
        for transparency in (b"\xff\x00\xff", 1):
            data = encode(image, "PNG", transparency=transparency)
            np.testing.assert_array_equal(pixels(data), [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]])
        data = encode(image, "GIF", transparency=1)
        np.testing.assert_array_equal(pixels(data), [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]])

    def test_sixteen_bits_keep_the_high_byte(self) -> None:
        samples = np.array([[0x0000, 0x12FF, 0x80FF, 0xFFFF]], np.uint16)
        expected = np.repeat((samples >> 8)[..., None], 3, -1)
        np.testing.assert_array_equal(pixels(encode(Image.fromarray(samples), "PNG")), expected)
        np.testing.assert_array_equal(pixels(png(16, 0, samples)), expected)
        transparent = png(16, 0, samples, (b"tRNS", b"\x12\xff"))
        np.testing.assert_array_equal(pixels(transparent)[0, :, 0], [0, 255, 0x80, 255])
        colours = np.array([[[0x1234, 0x80FF, 0xFF00], [1, 0x0100, 0xFFFF]]], np.uint16)
        np.testing.assert_array_equal(pixels(png(16, 2, colours)), colours >> 8)
        opaque = np.dstack([colours, np.full((1, 2), 0xFFFF, np.uint16)])
        np.testing.assert_array_equal(pixels(png(16, 6, opaque)), colours >> 8)


class TestBadImages:
    def test_an_empty_file(self) -> None:
        assert reason(b"") == "the file is empty"

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_a_truncated_file(self, name: str) -> None:
        data = EXAMPLES[name]
        for length in range(1, len(data) * 9 // 10, 7):
            assert reason(data[:length])

    def test_a_decompression_bomb(self) -> None:
        bomb = png(8, 0, np.zeros((1, 1), np.uint8)).replace(
            struct.pack(">IIB", 1, 1, 8), struct.pack(">IIB", 50_000, 50_000, 8)
        )
        header = bomb[12:29]
        assert "128 megapixels" in reason(bomb[:29] + struct.pack(">I", zlib.crc32(header)) + bomb[33:])

    def test_a_huge_photograph_is_not_taken_for_a_bomb(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 32 - 1)  # half of what Pillow refuses
        np.testing.assert_array_equal(pixels(EXAMPLES["png"]), PHOTO)

    @given(st.binary(max_size=200))
    @example(b"BM" + bytes(100))
    @example(b"GIF89a\x01\0\x01\0\0\0\0,")
    def test_any_bytes_whatsoever(self, data: bytes) -> None:
        self.decode(data)

    @settings(max_examples=300)
    @given(
        name=st.sampled_from(sorted(EXAMPLES)),
        changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
        kept=st.sampled_from([1.0, 1.0, 0.9, 0.5]),
    )
    def test_any_damage_to_an_image(self, name: str, changes: list[tuple[float, int]], kept: float) -> None:
        data = bytearray(EXAMPLES[name])
        for where, value in changes:
            data[int(where * len(data))] = value
        self.decode(bytes(data[: int(kept * len(data))]))

    def decode(self, data: bytes) -> None:
        try:
            image = load_image(data, Resizing((4, 6)))
        except BadImageError:
            return
        assert image.shape == (4, 6, 3)


class TestBudgets:
    def test_a_huge_file_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "huge.jpg").open("wb") as file:
            file.truncate(5_000_000_000)  # sparse: it takes no room on the disk
        with pytest.raises(BadImageError, match=f"5,000,000,000 bytes, more than the {MAX_IMAGE_BYTES:,}"):
            read_image(tmp_path / "huge.jpg")

    def test_a_lower_limit_of_pixels(self) -> None:
        assert load_image(EXAMPLES["png"], Resizing((4, 6)), max_megapixels=0.001).shape == (4, 6, 3)
        for name, data in EXAMPLES.items():
            with pytest.raises(BadImageError, match=r"limit is 0\.0005 megapixels"):
                load_image(data, Resizing((4, 6)), max_megapixels=0.0005)
            assert name

    def test_scans_of_a_large_image_are_bounded_by_the_work(self) -> None:
        data = EXAMPLES["progressive jpeg"]  # 10 scans
        last = data[data.rindex(b"\xff\xda") : -2]
        more, megapixels = data[:-2] + 8 * last + data[-2:], 24 * 32 / 1e6
        assert load_image(data, Resizing((4, 6)), max_megapixels=megapixels).shape == (4, 6, 3)
        assert load_image(more, Resizing((4, 6)), max_megapixels=2 * megapixels).shape == (4, 6, 3)
        with pytest.raises(BadImageError, match="18 scans"):
            load_image(more, Resizing((4, 6)), max_megapixels=megapixels)

    def test_pixels_alive_at_once_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        alive, most, lock = 0, 0, threading.Lock()
        original = module.to_rgb

        def counted(image: Image.Image, *others: Any) -> Image.Image:
            nonlocal alive, most
            with lock:
                alive += image.width * image.height
                most = max(most, alive)
            time.sleep(0.02)
            with lock:
                alive -= image.width * image.height
            return original(image, *others)

        monkeypatch.setattr(module, "to_rgb", counted)
        monkeypatch.setattr(module, "_ALIVE", 2.0 * 24 * 32)
        monkeypatch.setattr(module, "_free", 2.0 * 24 * 32)
        large = encode(PHOTO.resize((64, 48)), "PNG")  # more than all that may be alive: it is decoded alone
        with ThreadPoolExecutor(8) as pool:
            images = [EXAMPLES["png"], EXAMPLES["gif"], large] * 4
            list(pool.map(lambda data: load_image(data, Resizing((8, 8))), images))
        assert most == 64 * 48
        assert module._free == 2.0 * 24 * 32

    def test_what_fails_gives_its_pixels_back(self) -> None:
        cut = EXAMPLES["png"][:-60]
        for _ in range(3):
            assert "truncated" in reason(cut)
        assert module._free == MAX_MEGAPIXELS * 1e6

    @pytest.mark.parametrize("tag", [270, 315, 34665, 65000])
    def test_tags_that_claim_gigabytes_are_not_read(self, tag: int) -> None:
        """65,000 tags of 1 MB each, all in the same place, in EXIF and in TIFF."""
        entries = b"".join(struct.pack("<HHII", tag + at % 2, 7, 1_000_000, 8) for at in range(65_000))
        exif = b"II*\0" + struct.pack("<IH", 8, 65_000) + entries + bytes(1_000_000)
        chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
        data = EXAMPLES["png"]
        start = time.monotonic()
        np.testing.assert_array_equal(pixels(data[:33] + chunk + data[33:]), PHOTO)
        assert "tags" in reason(exif)
        harmless = b"II*\0" + struct.pack("<IH", 8, 0) + b"\xab" * (len(exif) - 10)
        avif = encode(PHOTO, "AVIF", exif=harmless)
        assert pixels(avif.replace(harmless, exif)).shape == (24, 32, 3)
        assert time.monotonic() - start < 2

    def test_a_bmp_of_many_runs_is_refused_before_it_takes_long(self) -> None:
        runs = encode(PHOTO.convert("P"), "BMP")[:30] + struct.pack("<I", 1) + bytes(3 << 20)
        assert "run-length" in reason(runs)

    @pytest.mark.slow
    def test_memory_of_many_images_at_once(self) -> None:
        """Eight, each of as many pixels as may be alive, take as much as the greediest alone: 16 bytes a pixel."""
        script = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from surgeon.data import images
from surgeon.resizing import Resizing
images._ALIVE = images._free = 25e6
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
files = [open(name, "rb").read() for name in sys.argv[1:]]
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda data: images.load_image(data, Resizing((32, 32))), files * 4))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 25e6)
"""
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / "a.webp", Path(folder) / "b.png"]
            Image.new("RGB", (5000, 5000)).save(files[0], lossless=True)
            Image.new("RGBA", (5000, 5000)).save(files[1])
            done = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, check=True)
        assert float(done.stdout) < 20


def test_warnings_are_silenced_in_all_threads_and_only_meanwhile() -> None:
    before = list(warnings.filters)
    broken = encode(PHOTO, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\xff\xff\xff\xff\xff\xff\xff\xff")
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda data: load_image(data, Resizing((24, 32))), [broken] * 200))
    assert len(images) == 200
    assert list(warnings.filters) == before
