from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from surgeon.catalogue.sources import SOURCES
from surgeon.catalogue.sources.flowers17 import FLOWERS
from surgeon.catalogue.sources.listing import Listing
from surgeon.catalogue.sources.split_names import split_called
from surgeon.catalogue.sources.walk import DANGLING, EMPTY, SPECIAL, STRAY, UNREAD
from surgeon.errors import BadImageError, SurgeonError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def read(source: str, *paths: Path, **parameters: Any) -> Listing:
    return SOURCES[source].read(parameters, paths)


def problem(source: str, *paths: Path, **parameters: Any) -> str:
    with pytest.raises(SurgeonError) as error:
        read(source, *paths, **parameters)
    assert error.value.hint
    return error.value.message


class TestFolder:
    def test_class_folders_with_images_at_any_depth(self, tmp_path: Path, write_image: Callable) -> None:
        root = tmp_path / "Bilder für später"
        for number, name in enumerate(["tulpe/b.png", "tulpe/alt/2019/a.jpg", "größe 1/c.webp", "größe 1/d.GIF"]):
            write_image(root / name, number)
        listing = read("folder", path=str(root))
        assert [(image.name, image.label, image.split) for image in listing.images] == [
            ("größe 1/c.webp", "größe 1", None),
            ("größe 1/d.GIF", "größe 1", None),
            ("tulpe/alt/2019/a.jpg", "tulpe", None),
            ("tulpe/b.png", "tulpe", None),
        ]
        assert listing.classes == ("größe 1", "tulpe") == SOURCES["folder"].classes({"path": str(root)})
        assert listing.ignored == 0
        assert listing.images[0].read() == (root / "größe 1/c.webp").read_bytes()

    def test_splits_in_file_names(self, tmp_path: Path, write_image: Callable) -> None:
        names = [
            "a/train_1.png",
            "a/val_2.png",
            "a/Valid_3.png",
            "b/old/test_4.png",
            "b/validation_5.png",
            "test/train_6.png",
        ]
        for number, name in enumerate(names):
            write_image(tmp_path / name, number)
        parameters = {"path": tmp_path, "split_pattern": "^([a-zA-Z]+)_"}
        listing = read("folder", **parameters)
        assert {image.name: (image.label, image.split) for image in listing.images} == {
            "a/train_1.png": ("a", "train"),
            "a/val_2.png": ("a", "validation"),
            "a/Valid_3.png": ("a", "validation"),
            "b/old/test_4.png": ("b", "test"),
            "b/validation_5.png": ("b", "validation"),
            "test/train_6.png": ("test", "train"),
        }
        assert SOURCES["folder"].splits(parameters)
        write_image(tmp_path / "a/odd_7.png", 7)
        assert "finds no split in 1 of 7 file names: 'a/odd_7.png'" in problem("folder", **parameters)

    def test_classes_in_file_names(self, tmp_path: Path, write_image: Callable) -> None:
        for number, name in enumerate(["maine_coon_1.jpg", "pug_2.png", "more/pug_10.jpg", "pug.png"]):
            write_image(tmp_path / name, number)
        (tmp_path / "notes.txt").write_text("…")
        parameters = {"path": str(tmp_path), "pattern": r"^(.+)_\d+"}
        listing = read("file_names", **parameters)
        assert {image.name: (image.label, image.split) for image in listing.images} == {
            "maine_coon_1.jpg": ("maine_coon", None),
            "more/pug_10.jpg": ("pug", None),
            "pug_2.png": ("pug", None),
        }
        assert listing.classes == ("maine_coon", "pug")
        assert (listing.ignored, listing.left_out) == (
            1,
            {"images in whose names the pattern finds no class": ("pug.png",)},
        )
        with pytest.raises(SurgeonError, match=r"finds no class in 4 file names: 'maine_coon_1.jpg'"):
            read("file_names", path=str(tmp_path), pattern="^(x+)$")

    def test_classes_in_file_names_below_splits(self, tmp_path: Path, write_image: Callable) -> None:
        for number, name in enumerate(["train/cats/pug_1.jpg", "train/elm_2.jpg", "val/pug_3.jpg", "test/elm_4.jpg"]):
            write_image(tmp_path / name, number)
        parameters = {"path": str(tmp_path), "pattern": r"^(.+)_\d+"}
        assert {(image.label, image.split) for image in read("file_names", **parameters).images} == {
            ("pug", "train"),
            ("elm", "train"),
            ("pug", "validation"),
            ("elm", "test"),
        }
        assert SOURCES["file_names"].splits(parameters)
        pooled = parameters | {"splits": False}
        assert {image.split for image in read("file_names", **pooled).images} == {None}
        assert not SOURCES["file_names"].splits(pooled)
        write_image(tmp_path / "icons/pug.jpg", 4)  # without a class
        assert SOURCES["file_names"].splits(parameters)
        write_image(tmp_path / "oak_5.jpg", 5)  # not all are in such folders
        assert {image.split for image in read("file_names", **parameters).images} == {None}
        assert not SOURCES["file_names"].splits(parameters)

    def test_splits_are_in_folders_or_in_file_names(self, tmp_path: Path, write_image: Callable) -> None:
        for number, name in enumerate(["train/a/train_1.png", "train/b/train_2.png", "test/a/test_3.png"]):
            write_image(tmp_path / name, number)
        assert "are splits already: 'test', 'train'" in problem("folder", path=tmp_path, split_pattern="^([a-z]+)_")

    @pytest.mark.parametrize("validation", ["validation", "val", "Valid"])
    def test_split_folders_above_class_folders(self, tmp_path: Path, write_image: Callable, validation: str) -> None:
        for number, name in enumerate(["train/a/1.png", f"{validation}/a/2.png", "test/b/3.png"]):
            write_image(tmp_path / name, number)
        listing = read("folder", path=tmp_path)
        assert {image.name: (image.label, image.split) for image in listing.images} == {
            "train/a/1.png": ("a", "train"),
            f"{validation}/a/2.png": ("a", "validation"),
            "test/b/3.png": ("b", "test"),
        }
        assert listing.classes == ("a", "b") == SOURCES["folder"].classes({"path": tmp_path})

    @pytest.mark.parametrize(
        "folders",
        {
            "a class called test among others": ["test", "dog", "cat"],
            "names with such a word in them": ["train station", "bus station", "test tube"],
            "folders in class folders": ["rose/wild", "rose", "tulip/garden", "tulip"],
            "one folder of the same name in each": ["rose/images", "tulip/images"],
        }.values(),
    )
    def test_what_is_clearly_a_class_stays_one(self, tmp_path: Path, write_image: Callable, folders: list[str]) -> None:
        for number, name in enumerate(folders):
            write_image(tmp_path / name / "1.png", number)
        assert set(read("folder", path=tmp_path).classes) == {name.split("/")[0] for name in folders}

    @pytest.mark.parametrize(
        ("layout", "said"),
        {
            "a third folder": ("train/a train/b test/a test/b extra/a", "next to 'extra'"),
            "one of two is known": ("train/a train/b later/a later/b", "'train' is named like a split"),
            "one class in each": ("train/a later/a", "'train' is named like a split"),
            "known by a word": ("seg_train/seg_train/a seg_test/seg_test/a", "names that resemble splits"),
            "in another language": ("Lernen/a Lernen/b Prüfen/a Prüfen/b", "both hold 'a', 'b'"),
            "splits below classes": ("a/train a/test b/train b/test", "'test', 'train', which are named like splits"),
        }.values(),
    )
    def test_what_looks_like_splits_and_is_not_known_is_refused(
        self, tmp_path: Path, write_image: Callable, layout: str, said: str
    ) -> None:
        for number, name in enumerate(layout.split(" ")):
            write_image(tmp_path / name / "1.png", number)
        parameters = {"path": tmp_path}
        assert said in problem("folder", **parameters)
        assert SOURCES["folder"].classes(parameters) is None
        assert not SOURCES["folder"].splits(parameters)
        says_classes = {**parameters, "splits": False}
        assert read("folder", **says_classes).classes == SOURCES["folder"].classes(says_classes)
        assert set(read("folder", **says_classes).classes) == {name.split("/")[0] for name in layout.split(" ")}

    @pytest.mark.parametrize(
        "junk",
        ["@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "System Volume Information", ".thumbnails", "__MACOSX"],
    )
    def test_what_systems_leave_is_passed_over_at_any_depth(
        self, tmp_path: Path, write_image: Callable, junk: str
    ) -> None:
        names = ["a/1.png", "b/2.png"]
        for number, name in enumerate([*names, f"{junk}/3.png", f"a/{junk}/1.png/4.jpg", f"b/{junk.upper()}/5.png"]):
            write_image(tmp_path / name, number)
        listing = read("folder", path=tmp_path)
        assert [image.name for image in listing.images] == names
        assert (listing.ignored, dict(listing.left_out)) == (3, {})

    @pytest.mark.skipif(os.name == "nt", reason="needs symbolic links and pipes")
    def test_photographs_that_are_left_out_are_named(self, tmp_path: Path, write_image: Callable) -> None:
        for number, name in enumerate(["a/1.png", "b/2.png", "loose.jpg"]):
            write_image(tmp_path / name, number)
        (tmp_path / "a/annex.jpg").symlink_to("/nowhere/x.jpg")
        (tmp_path / "c").symlink_to("/nowhere/c")
        (tmp_path / "a/circle.jpg").symlink_to("circle.jpg")
        os.mkfifo(tmp_path / "b/pipe.jpg")
        for name in ("a/x.PPM", "a/x.jp2", "b/x.dng"):
            (tmp_path / name).write_bytes(b"x")
        (tmp_path / "b/IMG_1").write_bytes(b"P6 1 1 255\n\0\0\0")  # known by its content
        (tmp_path / "b/P1 notes.txt").write_bytes(b"P1 is not P2")
        (tmp_path / "empty").mkdir()
        listing = read("folder", path=tmp_path)
        assert listing.left_out == {
            DANGLING: ("a/annex.jpg", "a/circle.jpg", "c"),
            SPECIAL: ("b/pipe.jpg",),
            UNREAD: ("a/x.PPM", "a/x.jp2", "b/IMG_1", "b/x.dng"),
            STRAY: ("loose.jpg",),
            EMPTY: ("empty",),
        }
        assert listing.ignored == 1
        assert listing.classes == ("a", "b") == SOURCES["folder"].classes({"path": tmp_path})

    def test_a_class_may_be_called_train(self, tmp_path: Path, write_image: Callable) -> None:
        write_image(tmp_path / "train/1.png", 1)
        write_image(tmp_path / "plane/2.png", 2)
        assert read("folder", path=tmp_path).classes == ("plane", "train")

    def test_splits_beside_something_else_are_refused(self, tmp_path: Path, write_image: Callable) -> None:
        for number, name in enumerate(["train/a/1.png", "test/b/2.png", "extra/3.png"]):
            write_image(tmp_path / name, number)
        assert "next to 'extra'" in problem("folder", path=tmp_path)
        assert SOURCES["folder"].classes({"path": tmp_path}) is None
        assert read("folder", path=tmp_path, splits=False).classes == ("extra", "test", "train")

    def test_hidden_files_and_non_images_are_passed_over_and_counted(
        self, tmp_path: Path, write_image: Callable
    ) -> None:
        for number, name in enumerate(["a/1.png", "b/2.png", "a/.3.png", "a/.git/4.png", "__MACOSX/a/5.png", "6.png"]):
            write_image(tmp_path / name, number)
        for name in ["notes.txt", "a/Thumbs.db", "b/BMI of men.txt", "b/empty"]:
            (tmp_path / name).write_text("BMI is a ratio" if "BMI" in name else "")
        (tmp_path / "empty folder").mkdir()
        listing = read("folder", path=tmp_path)
        assert [image.name for image in listing.images] == ["a/1.png", "b/2.png"]
        # .3.png, .git, __MACOSX and the four files that are no images
        assert listing.ignored == 7
        assert listing.left_out == {STRAY: ("6.png",), EMPTY: ("empty folder",)}
        assert listing.classes == ("a", "b") == SOURCES["folder"].classes({"path": tmp_path})

    @pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp"])
    def test_an_image_is_known_by_its_content(self, tmp_path: Path, write_image: Callable, suffix: str) -> None:
        write_image(tmp_path / f"a/1.{suffix}", 1).rename(tmp_path / "a/no suffix")
        write_image(tmp_path / f"b/1.{suffix}", 2).rename(tmp_path / "b/odd.suffix")
        assert [image.name for image in read("folder", path=tmp_path).images] == [
            "a/no suffix",
            "b/odd.suffix",
        ]

    def test_a_broken_or_foreign_image_is_still_a_candidate(self, tmp_path: Path, write_image: Callable) -> None:
        write_image(tmp_path / "a/1.png", 1)
        (tmp_path / "b").mkdir()
        (tmp_path / "b/zero.JPG").touch()
        (tmp_path / "b/phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
        assert [image.name for image in read("folder", path=tmp_path).images] == [
            "a/1.png",
            "b/phone.heic",
            "b/zero.JPG",
        ]

    @pytest.mark.skipif(os.name == "nt", reason="needs symbolic links and raw bytes in file names")
    def test_links_are_followed_but_not_in_circles(self, tmp_path: Path, write_image: Callable) -> None:
        write_image(tmp_path / "photos/a/1.png", 1)
        write_image(tmp_path / "elsewhere/2.png", 2)
        (tmp_path / "photos/b").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "photos/a/up").symlink_to(tmp_path / "photos")
        (tmp_path / "photos/a/gone.txt").symlink_to(tmp_path / "gone")
        names = [image.name for image in read("folder", path=tmp_path / "photos").images]
        assert names == ["a/1.png", "b/2.png"]

    @pytest.mark.skipif(sys.platform != "linux", reason="needs raw bytes in file names")
    def test_a_name_that_is_not_unicode_becomes_text(self, tmp_path: Path, write_image: Callable) -> None:
        folder = os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfcn")
        os.mkdir(folder)  # noqa: PTH102
        write_image(tmp_path / "1.png", 1).rename(f"{folder}/1.png")
        write_image(tmp_path / "Cafe\u0301/2.png", 2)  # decomposed, as some file systems store it
        listing = read("folder", path=tmp_path)
        assert listing.classes == ("Café", r"gr\xfcn")
        assert all(image.read() for image in listing.images)

    def test_problems_say_what_was_found(self, tmp_path: Path, write_image: Callable) -> None:
        assert "does not exist" in problem("folder", path=tmp_path / "gone")
        assert "does not exist" in problem("folder", path="nul\0byte")
        (tmp_path / "file").touch()
        assert "is a file" in problem("folder", path=tmp_path / "file")
        write_image(tmp_path / "loose/1.png", 1)
        assert "no labelled images" in problem("folder", path=tmp_path / "loose")
        assert "1 unlabelled, such as 1.png" in problem("folder", path=tmp_path / "loose")
        assert read("folder", path=tmp_path).classes == ("loose",)
        for path in (tmp_path / "gone", tmp_path / "file", "nul\0byte", "x" * 5000):
            assert SOURCES["folder"].classes({"path": path}) is None
        assert "cannot read" in problem("folder", path="x" * 5000)

    def test_an_unreadable_image_is_named(self, tmp_path: Path, write_image: Callable) -> None:
        write_image(tmp_path / "a/1.png", 1)
        write_image(tmp_path / "b/2.png", 2)
        image = read("folder", path=tmp_path).images[1]
        (tmp_path / "b/2.png").unlink()
        with pytest.raises(BadImageError, match="cannot be read: No such file"):
            image.read()


COLUMNS = {"image_column": "path", "label_column": "label"}


class TestCsv:
    def table(self, tmp_path: Path, text: str, encoding: str = "utf-8") -> dict[str, Any]:
        (tmp_path / "labels.csv").write_text(text, encoding)
        return {**COLUMNS, "path": tmp_path / "labels.csv"}

    def test_paths_are_relative_to_the_file(self, tmp_path: Path, write_image: Callable) -> None:
        write_image(tmp_path / "in ner/2.png", 1)
        write_image(tmp_path / "1.png", 2)
        parameters = self.table(tmp_path, "label,path\nrose,in ner/2.png\n\nnelke, 1.png\n", "utf-8-sig")
        listing = read("csv", **parameters)
        assert [(image.name, image.label, image.split) for image in listing.images] == [
            ("1.png", "nelke", None),
            ("in ner/2.png", "rose", None),
        ]
        assert listing.classes == ("nelke", "rose")
        assert listing.images[1].read() == (tmp_path / "in ner/2.png").read_bytes()
        assert SOURCES["csv"].classes(parameters) == ("nelke", "rose")
        assert SOURCES["csv"].classes({**parameters, "label_column": "sort"}) is None

    def test_columns_can_be_named_and_split_column_is_read(self, tmp_path: Path, write_image: Callable) -> None:
        for number in range(3):
            write_image(tmp_path / f"{number}.png", number)
        parameters = self.table(tmp_path, "file,kind,part\n0.png,a,train\n1.png,b,Val\n2.png,b,test\n")
        parameters |= {"image_column": "file", "label_column": "kind", "split_column": "part"}
        splits = [image.split for image in read("csv", **parameters).images]
        assert splits == ["train", "validation", "test"]

    @pytest.mark.parametrize("text", ["root:$6$secret:1::\n", "secret,x\n", "secret;x\n"])
    def test_a_file_that_is_not_called_as_a_table_is_not_quoted(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "shadow").write_text(text, encoding="utf-8")
        found = problem("csv", path=str(tmp_path / "shadow"), image_column="path", label_column="label")
        assert "shadow:1: " in found
        assert "secret" not in found

    def test_problems_name_the_line_or_the_columns(self, tmp_path: Path, write_image: Callable) -> None:
        write_image(tmp_path / "1.png", 1)

        def found(text: str, **more: str) -> str:
            return problem("csv", **self.table(tmp_path, text), **more)

        assert "no column 'label'; its columns are 'path', 'Labels'" in found("path,Labels\n1.png,a\n")
        assert "its columns are missing" in found("")
        assert "labels.csv:3: there is no file" in found("path,label\n1.png,a\n2.png,b\n")
        assert "labels.csv:2: a row without" in found("path,label\n1.png,\n")
        unknown = found("path,label,split\n1.png,a,trian\n", split_column="split")
        assert "labels.csv:2: unknown split 'trian'" in unknown
        assert "has no rows" in found("path,label\n")
        (tmp_path / "labels.csv").write_bytes("path,label\n1.png,grün\n".encode("latin-1"))
        assert "not a CSV file in UTF-8" in problem("csv", **COLUMNS, path=tmp_path / "labels.csv")
        assert "cannot read" in problem("csv", **COLUMNS, path=tmp_path / "gone.csv")
        assert "cannot read" in problem("csv", **COLUMNS, path=tmp_path)
        assert "null byte" in problem("csv", **COLUMNS, path="nul\0byte")

    def test_a_near_column_is_suggested(self, tmp_path: Path) -> None:
        with pytest.raises(SurgeonError) as error:
            read("csv", **self.table(tmp_path, "path,Labels\n"))
        assert error.value.hint == "did you mean 'Labels'?"

    @pytest.mark.parametrize(
        ("text", "expected"),
        {
            "more cells": (
                "path,label\n1.png,a\n1.png,rose, red\n",
                r":3: expected 2 cells, found 3: '1.png,rose",
            ),
            "fewer cells": ("path,label,note\n1.png,a,x\n\n1.png,b\n", r":4: expected 3 cells, found 2"),
            "a cell under no name": ("path,label,\n1.png,rose, red\n", r":2: a cell under a column without a name"),
            "a column twice": ("path,label,label\n1.png,a,b\n", r":1: the column 'label' occurs 2 times"),
            "another column twice": ("path,label,x,x\n1.png,a,1,2\n", r":1: the column 'x' occurs 2 times"),
            "no header": ("\n\n", r":1: no column 'path'; its columns are missing"),
            "semicolons": (
                "path;label\n1.png;a\n",
                r":1: its columns are separated by semicolons, not by commas: path;label",
            ),
            "semicolons and a comma": (
                "path;label;what, else\n1.png;a;b\n",
                r":1: its columns are separated by semicolons",
            ),
            "tabs": ("file\tclass\n1.png\ta\n", r":1: its columns are separated by tabs"),
            "bars": ("path|label\n1.png|a\n", r":1: its columns are separated by bars"),
            "an open quote": ('path,label\n1.png,a\n1.png,"b\n1.png,c\n', r":3: not a row of a CSV file"),
            "a folder": ("path,label\n.,a\n", r":2: .* is not a file"),
        }.values(),
    )
    def test_a_table_that_can_be_read_in_two_ways_is_refused(
        self, tmp_path: Path, write_image: Callable, text: str, expected: str
    ) -> None:
        write_image(tmp_path / "1.png", 1)
        parameters = self.table(tmp_path, text)
        assert re.search(r"labels\.csv" + expected, problem("csv", **parameters))

    def test_what_pandas_writes_is_read_and_labels_stay_text(self, tmp_path: Path, write_image: Callable) -> None:
        for number in range(4):
            write_image(tmp_path / f"{number}.png", number)
        text = '\ufeff,path,label\r\n0,0.png,01\r\n1,1.png,1e5\r\n2,2.png,NA\r\n3,3.png,"rose, red"\r\n'
        assert read("csv", **self.table(tmp_path, text)).classes == ("01", "1e5", "NA", "rose, red")

    def test_all_problems_are_said_at_once(self, tmp_path: Path, write_image: Callable) -> None:
        write_image(tmp_path / "1.png", 1)
        rows = "".join(f"gone {number}.png,a\n" for number in range(30))
        lines = problem("csv", **self.table(tmp_path, f"path,label\n1.png,a\n1.png,\n{rows}")).splitlines()
        assert "labels.csv:3: a row without" in lines[0]
        assert "labels.csv:4: there is no file" in lines[1]
        assert len(lines) == 21
        assert lines[-1] == "and 11 more"


class TestFlowers17:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "jpg").mkdir()
        for number in range(1, 1361):
            (tmp_path / f"jpg/image_{number:04}.jpg").touch()
        return tmp_path

    def test_eighty_images_of_each_class_in_order(self, folder: Path) -> None:
        listing = read("flowers17", folder)
        assert listing.classes == FLOWERS == SOURCES["flowers17"].classes({})
        assert [image.label for image in listing.images] == [name for name in FLOWERS for _ in range(80)]
        assert listing.images[80].name == "jpg/image_0081.jpg"
        assert {image.split for image in listing.images} == {None}
        assert [download.mirror for download in SOURCES["flowers17"].downloads({})] == ["datasets/flowers17"]

    def test_official_splits(self, folder: Path) -> None:
        from scipy.io import savemat

        numbers = np.random.default_rng(0).permutation(np.arange(1, 1361))[None]
        parts = {"trn2": numbers[:, :680], "val2": numbers[:, 680:1020], "tst2": numbers[:, 1020:]}
        savemat(folder / "datasplits.mat", parts)
        parameters = {"official_split": 2}
        assert [d.mirror for d in SOURCES["flowers17"].downloads(parameters)][1] == "datasets/flowers17/datasplits.mat"
        listing = read("flowers17", folder, folder / "datasplits.mat", **parameters)
        assert Counter(image.split for image in listing.images) == {
            "train": 680,
            "validation": 340,
            "test": 340,
        }
        assert listing.images[numbers[0, 0] - 1].split == "train"
        assert listing.images[numbers[0, -1] - 1].split == "test"

    def test_problems(self, folder: Path) -> None:
        (folder / "datasplits.mat").write_text("not found")
        damaged = problem("flowers17", folder, folder / "datasplits.mat", official_split=1)
        assert "datasplits.mat does not hold" in damaged
        (folder / "jpg/image_0007.jpg").unlink()
        assert "1 of the 1360 images of Flowers-17 are missing" in problem("flowers17", folder)

    @pytest.mark.mirror
    def test_the_mirror_has_them_all(self, mirror: Path) -> None:
        assert len(read("flowers17", mirror / "datasets/flowers17").images) == 1360


class TestDigits:
    def test_they_are_lossless(self) -> None:
        from sklearn.datasets import load_digits

        listing = read("digits")
        digits = load_digits()
        assert len(listing.images) == 1797
        assert listing.classes == tuple("0123456789") == SOURCES["digits"].classes({})
        assert listing.images[0].name == "digit_0001.png"
        for image, pixels, label in zip(listing.images, digits.images, digits.target, strict=True):
            decoded = np.asarray(Image.open(io.BytesIO(image.read())))
            np.testing.assert_array_equal(np.round(decoded / 255 * 16), pixels)
            assert image.label == str(label)

    def test_their_bytes_do_not_depend_on_a_library(self) -> None:
        import hashlib

        digest = hashlib.sha256(b"".join(image.read() for image in read("digits").images)).hexdigest()
        assert digest == "99bc00270a852e7abb9392c880d71140b8db2985c1b9e6dd215edb3aa2bd7138"


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (
            "train Train TRAINING training_set train-set trainset TrainSet trn tr train2017 01_train images_train",
            "train",
        ),
        ("val valid validation VALIDATION val_set valset val2017 dev dev-set eval evaluation", "validation"),
        ("test Testing test_set testset tst hold-out holdout held_out test1 dataset.test", "test"),
        ("t rain trains contest tested attest trainer value evaluate devil dataset images fold_1 test_tube", None),
    ],
)
def test_splits_are_known_by_what_people_call_them(names: str, split: str | None) -> None:
    assert {name: split_called(name) for name in names.split(" ")} == dict.fromkeys(names.split(" "), split)


def test_the_catalogue_is_imported_fast() -> None:
    script = "import sys, surgeon.catalogue.sources; print(*{'numpy', 'sklearn', 'PIL', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
