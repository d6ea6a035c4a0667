from __future__ import annotations

import hashlib
import io
import sys
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from surgeon.data import dataset as module
from surgeon.data import images
from surgeon.data.dataset import BadImage, Dataset, Index, decode_images, index_images
from surgeon.errors import SurgeonError
from surgeon.recipe.data_plan import DataPlan, SplitPlan
from surgeon.recipe.keys import Choice
from surgeon.resizing import Resizing
from surgeon.results.forecast import Place
from surgeon.store import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def plan(
    source: str, test: float = 0.25, on_bad_image: str = "fail", size: tuple[int, int] = (6, 8), **parameters: Any
) -> DataPlan:
    return DataPlan(
        source=Choice(source, parameters),
        image_size=size,
        classes=None,
        folds=None,
        fold=None,
        resize=Choice("squash", {}),
        interpolation="bilinear",
        split=SplitPlan(test, 0, 42, Choice("near_copies", {}), "fail"),
        batch_size=4,
        on_leak="fail",
        on_bad_image=on_bad_image,
    )


@pytest.fixture
def photos(tmp_path: Path, write_image: Callable) -> Path:
    """Eight images in each of two classes, and a text."""
    root = tmp_path / "meine photos"
    for number in range(16):
        suffix = ("png", "jpg", "gif", "webp")[number % 4]
        write_image(root / ("rosen", "tulpen")[number // 8] / f"bild {number}.{suffix}", number)
    (root / "notes.txt").write_text("…")
    return root


@pytest.fixture
def load(finish: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Dataset]]:
    """Reads the images of a plan, with a cache of its own that is empty at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with ExitStack() as life:

        def load(plan: DataPlan, keep: str = "auto") -> Dataset:
            index, _ = finish(index_images(plan))
            return finish(decode_images(index, plan, keep, life))[0]

        yield load


def all_pixels(dataset: Dataset) -> np.ndarray:
    return dataset.pixels(range(len(dataset.names)))


class TestIndex:
    def test_a_folder_is_listed_hashed_and_split(self, photos: Path, finish: Callable) -> None:
        index, events = finish(index_images(plan("folder", path=photos)))
        assert index.classes == ("rosen", "tulpen")
        assert index.ignored == 1
        assert index.counts() == {"train": {"rosen": 6, "tulpen": 6}, "test": {"rosen": 2, "tulpen": 2}}
        for image, digest in zip(index.images, index.digests, strict=True):
            assert digest == hashlib.sha256((photos / image.name).read_bytes()).hexdigest()
        assert (events[-1].task, events[-1].done, events[-1].total) == ("look at images", 16, 16)

    def test_moved_and_renamed_images_are_split_alike(self, photos: Path, tmp_path: Path, finish: Callable) -> None:
        before, _ = finish(index_images(plan("folder", path=photos)))
        moved = photos.rename(tmp_path / "elsewhere")
        for number, image in enumerate(sorted(moved.rglob("bild*"), reverse=True)):
            image.rename(image.with_name(f"{number}{image.suffix}"))
        after, _ = finish(index_images(plan("folder", path=moved)))
        assert dict(zip(before.digests, before.splits, strict=True)) == dict(
            zip(after.digests, after.splits, strict=True)
        )

    def test_digits(self, finish: Callable) -> None:
        index, _ = finish(index_images(plan("digits")))
        assert isinstance(index, Index)
        assert Counter(index.splits) == {"train": 1347, "test": 450}

    @pytest.mark.slow
    @pytest.mark.mirror
    def test_flowers17(self, mirror: Path, load: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SURGEON_MIRROR", str(mirror))
        dataset = load(plan("flowers17"))
        assert all_pixels(dataset).shape == (1360, 6, 8, 3)
        assert len(dataset.part("test")) == 340
        assert set(np.bincount(dataset.labels[dataset.part("test")])) == {20}

    def test_an_unknown_source_is_suggested(self, finish: Callable) -> None:
        with pytest.raises(SurgeonError, match="'flower17'"):
            finish(index_images(plan("flower17")))


class TestDecode:
    @pytest.mark.parametrize("keep", ["disk", "memory", "nowhere"])
    def test_pixels_are_aligned_with_names_labels_and_splits(
        self, keep: str, photos: Path, load: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "choose_place", lambda *_: Place(keep, ""))
        dataset = load(plan("folder", path=photos))
        found = all_pixels(dataset)
        assert found.shape == (16, 6, 8, 3)
        assert found.dtype == np.uint8
        assert dataset.labels.dtype == np.int32
        for name, label, pixels in zip(dataset.names, dataset.labels, found, strict=True):
            with Image.open(photos / name) as image:
                across = image.convert("RGB").resize((8, image.height), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(pixels, across.resize((8, 6), Image.Resampling.BILINEAR))
            assert dataset.classes[label] == name.split("/")[0]
        parts = [*dataset.part("train"), *dataset.part("validation"), *dataset.part("test")]
        assert sorted(parts) == list(range(16))
        assert [dataset.splits[position] for position in dataset.part("test")] == ["test"] * 4

    def test_more_images_than_a_batch(self, load: Callable, finish: Callable) -> None:
        index, _ = finish(index_images(plan("digits")))
        dataset = load(plan("digits"))
        last = Image.open(io.BytesIO(index.images[-1].read())).convert("RGB")
        np.testing.assert_array_equal(dataset.pixels([1796])[0], last.resize((8, 6), Image.Resampling.BILINEAR))

    def test_no_image_is_decoded_twice(self, photos: Path, load: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        former = all_pixels(load(plan("folder", path=photos)))
        photos = photos.rename(photos.with_name("renamed"))
        decoded = []
        monkeypatch.setattr(module, "load_image", lambda data, size: decoded.append(data) or original(data, size))
        original = images.load_image
        np.testing.assert_array_equal(all_pixels(load(plan("folder", path=photos))), former)
        assert decoded == []
        replaced = photos / "tulpen" / "bild 9.jpg"
        replaced.write_bytes((photos / "rosen" / "bild 1.jpg").read_bytes() + b"changed")
        load(plan("folder", path=photos))
        assert decoded == [replaced.read_bytes()]
        load(plan("folder", path=photos, size=(7, 8)))
        assert len(decoded) == 17

    def test_one_that_was_damaged_on_disk_is_decoded_again(self, photos: Path, load: Callable, tmp_path: Path) -> None:
        former = all_pixels(load(plan("folder", path=photos)))
        (rows,) = (tmp_path / "cache").rglob("rows")
        content = bytearray(rows.read_bytes())
        content[50] ^= 1
        rows.write_bytes(content)
        np.testing.assert_array_equal(all_pixels(load(plan("folder", path=photos))), former)


class TestBadImages:
    @pytest.fixture
    def bad(self, photos: Path) -> dict[str, str]:
        """Three bad images between the good ones, and what is wrong with them."""
        (photos / "rosen" / "bild 1 leer.jpg").touch()
        whole = (photos / "rosen" / "bild 1.jpg").read_bytes()
        (photos / "tulpen" / "bild.jpg").write_bytes(whole[: len(whole) * 9 // 10])
        (photos / "tulpen" / "foto.heic").write_bytes(b"\0\0\0\x18ftypheic")
        return {
            "rosen/bild 1 leer.jpg": "the file is empty",
            "tulpen/bild.jpg": "truncated",
            "tulpen/foto.heic": "HEI",
        }

    def test_all_of_them_are_named(self, photos: Path, bad: dict[str, str], load: Callable) -> None:
        with pytest.raises(SurgeonError) as error:
            load(plan("folder", path=photos))
        first, *lines = error.value.message.splitlines()
        assert first == "3 of 19 images cannot be decoded:"
        assert all(name in line and bad[name] in line for name, line in zip(bad, lines, strict=True))
        assert "data.on_bad_image: skip" in str(error.value.hint)

    def test_many_are_counted(self, photos: Path, bad: dict[str, str], load: Callable) -> None:
        for number in range(30):
            (photos / "rosen" / f"leer {number}.png").touch()
        with pytest.raises(SurgeonError) as error:
            load(plan("folder", path=photos))
        lines = error.value.message.splitlines()
        assert len(lines) == 22
        assert lines[-1] == "  and 13 more"

    def test_skipping_leaves_them_out_and_lists_them(self, photos: Path, bad: dict[str, str], load: Callable) -> None:
        dataset = load(plan("folder", on_bad_image="skip", path=photos))
        assert [image.name for image in dataset.bad] == list(bad)
        assert dataset.bad[0] == BadImage("rosen/bild 1 leer.jpg", "the file is empty")
        assert len(dataset.names) == len(dataset.labels) == len(dataset.splits) == 16
        for name, digest, pixels in zip(dataset.names, dataset.digests, all_pixels(dataset), strict=True):
            data = (photos / name).read_bytes()
            assert digest == hashlib.sha256(data).hexdigest()
            np.testing.assert_array_equal(pixels, module.load_image(data, Resizing((6, 8))))

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    @pytest.mark.parametrize("on_bad_image", ["fail", "skip"])
    def test_what_cannot_be_read_is_bad_as_what_cannot_be_decoded(
        self, photos: Path, load: Callable, on_bad_image: str
    ) -> None:
        (photos / "rosen/sector.jpg").symlink_to("/proc/self/mem")
        if on_bad_image == "skip":
            dataset = load(plan("folder", on_bad_image="skip", path=photos))
            assert dataset.bad == (BadImage("rosen/sector.jpg", "cannot be read: Input/output error"),)
        else:
            with pytest.raises(SurgeonError, match=r"rosen/sector\.jpg: cannot be read: Input/output error"):
                load(plan("folder", path=photos))

    def test_one_class_left_is_an_error(self, photos: Path, load: Callable) -> None:
        for image in (photos / "rosen").iterdir():
            image.write_bytes(b"")
        with pytest.raises(SurgeonError, match="only 1 of 2 classes have training images left"):
            load(plan("folder", test=0, on_bad_image="skip", path=photos))

    def test_none_left_is_an_error(self, photos: Path, load: Callable) -> None:
        for image in photos.rglob("bild*"):
            image.write_bytes(image.name.encode())
        with pytest.raises(SurgeonError, match="only 0 of 2 classes have training images left"):
            load(plan("folder", test=0, on_bad_image="skip", path=photos))


def test_a_full_disk_is_an_error(photos: Path, load: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rows.os, "fsync", full)
    with pytest.raises(SurgeonError, match="No space left on device") as error:
        load(plan("folder", path=photos), "disk")
    assert "free some disk space" in str(error.value.hint)
    assert all_pixels(load(plan("folder", path=photos), "auto")).shape == (16, 6, 8, 3)
