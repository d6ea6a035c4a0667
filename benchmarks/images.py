"""The images of the benchmarks: Flowers-17 in folders, and tiny synthetic images in any number."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from surgeon.data.dataset import index_images
from surgeon.recipe.compiler import compile_recipe

ROOT = Path(__file__).resolve().parents[1]
FLOWERS17 = ROOT / "recipes" / "vgg16_flowers17.yaml"
ALL_FLOWERS = 1360
CLASSES = 17
_SYNTHETIC_CLASSES = 10


def lay_out_flowers(folder: Path, count: int) -> None:
    """Lays out Flowers-17 as ``train/CLASS``, ``test/CLASS`` and ``validation``, the test images once more.

    The split is that of the recipe for Flowers-17, a quarter for the test. The files are links.

    Args:
        folder: Where to; it need not exist.
        count: How many images, as many of each class and a quarter of them for the test.
    """
    index = _finish(index_images(compile_recipe(FLOWERS17).data))
    of_class = max(2, count // CLASSES)
    wanted = {"test": max(1, of_class // 4)}
    wanted["train"] = of_class - wanted["test"]
    taken: Counter[tuple[str, str]] = Counter()
    for image, split in zip(index.images, index.splits, strict=True):
        if taken[split, image.label] < wanted[split]:
            taken[split, image.label] += 1
            file = folder / split / image.label / Path(image.name).name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to(image.path.resolve())
    (folder / "validation").symlink_to(folder / "test", target_is_directory=True)


def add_tiny(folder: Path, start: int, stop: int) -> None:
    """Writes the images ``start`` to ``stop``, BMP files of 8 by 8 pixels that all differ, into class folders."""
    header = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 246, 0, 54, 40, 8, 8, 1, 24, 0, 192, 0, 0, 0, 0)
    for label in range(_SYNTHETIC_CLASSES):
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
    for number in range(start, stop):
        label = number % _SYNTHETIC_CLASSES
        pixels = np.random.default_rng(number).integers(20 * label, 20 * label + 60, 192, np.uint8)
        (folder / f"class{label}" / f"{number:07}.bmp").write_bytes(header + pixels.tobytes())


def _finish(work: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return finished.value
