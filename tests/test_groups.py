"""Which images stay on one side of a split, through the front door."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import surgeon as front_door
from surgeon import patterns
from surgeon.catalogue.groupings import GROUPINGS
from surgeon.catalogue.sources import SOURCES
from surgeon.catalogue.sources.listing import LabelledImage, complete_listing
from surgeon.data import dataset as data
from surgeon.data.dataset import Index
from surgeon.recipe.compiler import validate_recipe
from surgeon.recipe.data_plan import SplitPlan
from surgeon.recipe.keys import Choice
from surgeon.results.subscribers import drive
from surgeon.search.images import folds_of, with_validation
from surgeon.store.digests import keep_looks
from surgeon.training.session import Session

Surgeon = Callable[..., Any]
CLASSES = ("daisy", "rose")
FOLDERS, IN_EACH = 6, 3  # of a class

RECIPE = """\
recipe: 1
data:
  source: {source}
  image_size: 32
  split: {{test: 0.25, validation: 0.25{group}}}
backbone: {{name: efficientnetlite0, weights: none}}
head: [global_average_pooling, dense: {{units: classes, activation: softmax}}]
phases: [{{trainable: head, lr: 0.01, epochs: 1}}]
"""


def picture(seed: int) -> Image.Image:
    """A picture that looks like no other."""
    blots = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    return Image.fromarray(blots).resize((160, 128), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of six folders of three pictures, called by garden and number, with a table of who took them."""
    root = tmp_path_factory.mktemp("flowers")
    rows = []
    for at in range(len(CLASSES) * FOLDERS * IN_EACH):
        label = CLASSES[at // (FOLDERS * IN_EACH)]
        folder = at // IN_EACH % FOLDERS
        file = root / "photos" / label / f"{label}s of walk {folder}" / f"garden{at % 9}_{at}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(at).save(file)
        rows.append((file.relative_to(root).as_posix(), label, f"person {at % 7}" if at else ""))
    with (root / "photos.csv").open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([("path", "label", "by"), *rows])
    return root


@pytest.fixture
def index(tmp_path: Path) -> Callable[..., Index]:
    """Lists and splits the images of a source as a recipe says."""

    def index(source: str, group: str | None, seed: int = 0) -> Index:
        recipe = write(tmp_path / "recipe.yaml", source, group)
        return front_door.check(front_door.load_recipe(recipe, {"data.split.seed": seed})).index

    return index


def write(recipe: Path, source: str, group: str | None) -> Path:
    text = RECIPE.format(source=source, group="" if group is None else f", group: {group}")
    recipe.write_text(text, encoding="utf-8")
    return recipe


def sides(index: Index, key: Callable[[str], str]) -> dict[str, set[str]]:
    """The splits in which there are images of each group, which their names tell."""
    found: dict[str, set[str]] = {}
    for image, split in zip(index.images, index.splits, strict=True):
        found.setdefault(key(image.name), set()).add(split)
    return found


def person(root: Path) -> Callable[[str], str]:
    with (root / "photos.csv").open(encoding="utf-8") as table:
        by = {row["path"]: row["by"] or row["path"] for row in csv.DictReader(table)}
    return by.__getitem__


@pytest.mark.parametrize(
    ("group", "source", "key"),
    [
        ("folder", "{folder: photos}", lambda _: lambda name: name.rpartition("/")[0]),
        (r"{pattern: '^(garden\d)_'}", "{folder: photos}", lambda _: lambda name: name.split("/")[-1].split("_")[0]),
        ("{column: by}", "{csv: photos.csv}", person),
    ],
)
def test_a_group_is_on_one_side(
    group: str, source: str, key: Callable, flowers: Path, index: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source.replace("photos", str(flowers / "photos"))
    kept, free = index(source, group), index(source, "none")
    of = key(flowers)
    assert all(len(splits) == 1 for splits in sides(kept, of).values())
    assert any(len(splits) > 1 for splits in sides(free, of).values())
    assert all(count > 0 for counts in kept.counts().values() for count in counts.values())
    assert kept.counts().keys() == {"train", "validation", "test"}
    assert index(source, group).splits == kept.splits
    assert index(source, group, seed=1).splits != kept.splits


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    """A source that divides its images itself, and eight walks with them."""
    for at in range(32):
        file = tmp_path / "divided" / ("train" if at // 2 % 2 else "test") / CLASSES[at % 2] / f"walk{at // 4}_{at}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(at).save(file)
    return tmp_path / "divided"


def test_a_source_that_divides_a_group_is_refused_unless_told_otherwise(
    divided: Path, tmp_path: Path, surgeon: Surgeon
) -> None:
    pattern = r"{pattern: '^(walk\d)_'}"
    recipe = write(tmp_path / "recipe.yaml", f"{{folder: {divided}}}", pattern)
    whole = ("--set", "data.split.validation=0")
    checked = json.loads(surgeon("check", recipe, *whole, "--format", "json").out)
    assert [found["kind"] for found in checked["findings"]].count("group-leak") == 8
    refused = surgeon("run", recipe, *whole, "--out", tmp_path / "refused")
    assert (refused.code, refused.out) == (1, "")
    assert "data.split.group (pattern) keeps together is in test (test/daisy/walk0_0.png, test/rose/" in refused.err
    told = surgeon("run", recipe, *whole, "--set", "data.on_leak=warn", "--out", tmp_path / "told")
    assert told.code == 0, told.err
    assert "data.split.group (pattern) keeps together is in test" in told.err
    for command, code in (("run", 1), ("validate", 2)):  # with validation images
        done = surgeon(command, recipe)
        assert (done.code, "no image is left for validation" in done.out + done.err) == (code, True)


def test_near_copies_that_a_source_divides_are_named(divided: Path, tmp_path: Path, surgeon: Surgeon) -> None:
    Image.open(divided / "train/rose/walk0_3.png").save(divided / "test/rose/again.jpg", quality=95)
    recipe = write(tmp_path / "recipe.yaml", f"{{folder: {divided}}}", None)
    told = surgeon("run", recipe, "--set", "data.split.validation=0", "--out", tmp_path / "run")
    assert told.code == 0, told.err
    assert "warning: nearly the same picture is in test (test/rose/again.jpg) and train (train/rose" in told.err
    checked = json.loads(surgeon("check", recipe, "--format", "json").out)
    assert [found["kind"] for found in checked["findings"]].count("near-leak") == 1


def test_near_copies_are_on_one_side_unless_told_otherwise(tmp_path: Path, index: Callable) -> None:
    def change(image: Image.Image, number: int) -> Image.Image:
        small = image.resize((120, 96), Image.Resampling.BILINEAR)
        return ImageEnhance.Brightness(small).enhance(1.1) if number % 2 else small

    for label, start in zip(CLASSES, (0, 100), strict=True):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            image = picture(start + number)
            image.save(tmp_path / "photos" / label / f"{number}.png")
            if number < 6:
                change(image, number).save(tmp_path / "photos" / label / f"{number}_again.jpg", quality=75)

    def parted(group: str | None, seed: int) -> int:
        found = sides(index("{folder: photos}", group, seed), lambda name: name.split(".")[0].removesuffix("_again"))
        assert len(found) == 24
        return sum(len(splits) > 1 for splits in found.values())

    assert [parted(None, seed) for seed in range(4)] == [0, 0, 0, 0]
    assert parted("none", 0) > 0
    for seed in range(4):
        counts = index("{folder: photos}", "near_copies", seed).counts()
        assert {split: sum(of.values()) for split, of in counts.items()} == {"train": 18, "validation": 9, "test": 9}
        assert all(count >= 4 for of in counts.values() for count in of.values())


def test_without_near_copies_nothing_changes(flowers: Path, index: Callable) -> None:
    source = f"{{folder: {flowers / 'photos'}}}"
    for seed in range(3):
        assert index(source, "near_copies", seed).splits == index(source, "none", seed).splits


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of images that are decoded for a look."""
    from surgeon.data import looks

    names: list[str] = []
    real = looks._look
    monkeypatch.setattr(looks, "_look", lambda image: (names.append(image.name), real(image))[1])
    return names


def test_an_image_is_looked_at_once_and_by_no_plan(
    tmp_path: Path, surgeon: Surgeon, looked: list[str], index: Callable
) -> None:
    for label, start in zip(CLASSES, (500, 600), strict=True):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(10):
            picture(start + number).save(tmp_path / "photos" / label / f"{number}.png")
    (tmp_path / "photos" / "rose" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    recipe = write(tmp_path / "recipe.yaml", "{folder: photos}", None)
    assert "a run first decodes 21 images" in surgeon("plan", recipe).out.replace("\n", " ")
    assert looked == []

    before = index("{folder: photos}", None)
    assert len(looked) == 22  # the broken one by the check as well
    looked.clear()
    (tmp_path / "photos" / "daisy" / "0.png").rename(tmp_path / "photos" / "daisy" / "first.png")
    picture(700).save(tmp_path / "photos" / "daisy" / "1.png")
    after = index("{folder: photos}", None)
    assert set(looked) == {"daisy/1.png", "rose/broken.png"}
    assert set(before.groups) - set(after.groups) == {before.groups[1]}
    assert json.loads(surgeon("plan", recipe, "--format", "json").out)["uncompared"] == 1


def test_parts_that_groups_do_not_make_are_said(flowers: Path, tmp_path: Path, surgeon: Surgeon) -> None:
    source = f"{{folder: {flowers / 'photos'}}}"
    recipe = write(tmp_path / "recipe.yaml", source, "folder")
    said = "test has 6 of 36 images instead of the 8 requested, since groups stay together"
    part = ("--set", "data.split.test=0.2")
    assert said in surgeon("plan", recipe, *part).out.replace("\n", " ")
    assert "since groups" not in surgeon("plan", recipe, *part, "--set", "data.split.group=none").out


def test_searches_keep_groups_together(flowers: Path, index: Callable, tmp_path: Path) -> None:
    listed = index(f"{{csv: {flowers / 'photos.csv'}}}", "{column: by}")
    numbers = {label: number for number, label in enumerate(listed.classes)}
    images = data.Dataset(
        names=tuple(image.name for image in listed.images),
        labels=np.array([numbers[image.label] for image in listed.images], np.int32),
        digests=listed.digests,
        groups=listed.groups,
        splits=("train",) * len(listed.images),
        classes=listed.classes,
        bad=(),
        pixels=lambda _: np.empty((0, 0, 0, 3), np.uint8),
    )
    of = person(flowers)

    def parts(found: data.Dataset) -> dict[str, set[str]]:
        groups: dict[str, set[str]] = {}
        for name, split in zip(found.names, found.splits, strict=True):
            groups.setdefault(of(name), set()).add(split)
        return groups

    folds = [parts(fold) for fold in folds_of(images, 3, SplitPlan(0, 0, 0, Choice("none", {}), "fail"))]
    assert all(len(splits) == 1 for fold in folds for splits in fold.values())
    assert all(sum("validation" in fold[by] for fold in folds) == 1 for by in folds[0])

    plan = front_door.load_recipe(write(tmp_path / "recipe.yaml", f"{{csv: {flowers / 'photos.csv'}}}", "{column: by}"))
    held_out = drive(with_validation(Session(listed, images, ExitStack()), plan.data.split))
    assert all(len(splits) == 1 for splits in parts(held_out.dataset).values())
    assert "validation" in held_out.dataset.splits


def test_a_pattern_that_takes_too_long_ends(flowers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_SECONDS", 0.5)
    for label in CLASSES:
        for number in range(4):
            file = tmp_path / "photos" / label / f"{'a' * 60}!{label}{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(number).save(file)
    recipe = write(tmp_path / "recipe.yaml", "{folder: photos}", "{pattern: '^((a+)+)$'}")
    (found,) = validate_recipe(recipe)
    assert (found.code, found.location.line, found.path) == ("unusable-group", 5, "data.split.group.pattern")
    assert "takes more than 0.5 s for 8 names" in found.message


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "unterminated subpattern"),
        ("(a{1,99999999999999})", "the repetition number is too large"),
        ("(?L)(a)", "cannot use 'L' flag"),
        ("a", "has no group"),
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(front_door.SurgeonError, match=said):
        patterns.first_groups(pattern, ["a"])


def test_only_what_a_group_matches_counts() -> None:
    names = ["ann_1.jpg", "ann_2.jpg", "3.jpg", "_4.jpg", "caf\udce9_5.jpg", "\u0661_6.jpg"]
    assert patterns.first_groups(r"^(\w*?)_", names) == ["ann", "ann", None, None, None, "\u0661"]
    assert patterns.first_groups("[[a](n)", names) == ["n", "n", None, None, None, None]  # of which Python warns


@pytest.mark.parametrize(
    ("name", "split", "folder"),
    [
        ("rose/walk 1/1.jpg", None, "rose/walk 1"),
        ("rose/walk 1/old/1.jpg", None, "rose/walk 1"),
        ("train/rose/walk 1/1.jpg", "train", "train/rose/walk 1"),
        ("rose/1.jpg", None, None),
        ("1.jpg", None, None),
        ("photos/1.jpg", None, None),
        ("train/train/1.jpg", "train", None),
        ("train/train/walk 1/1.jpg", "train", "train/train/walk 1"),
    ],
)
def test_the_folder_of_a_group_is_that_below_the_class(name: str, split: str | None, folder: str | None) -> None:
    label = "train" if name.startswith("train/train") else "rose"
    listing = complete_listing([LabelledImage(name, label, split), LabelledImage("rose/x/2.jpg", "rose", None)])
    keys = GROUPINGS["folder"].keys({}, SOURCES["folder"], {}, listing)
    assert dict(zip([image.name for image in listing.images], keys, strict=True))[name] == folder


def test_without_a_cache_near_copies_are_found_all_the_same(
    flowers: Path, index: Callable, looked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{{folder: {flowers / 'photos'}}}"
    kept = index(source, None)
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    monkeypatch.setattr("surgeon.store.digests.user_cache_path", lambda _: tmp_path / "file")
    looked.clear()
    assert (index(source, None).splits, len(looked)) == (kept.splits, 2 * 36)  # once to divide, once to check


def test_what_another_version_kept_is_looked_at_again(flowers: Path, index: Callable, looked: list[str]) -> None:
    source = f"{{folder: {flowers / 'photos'}}}"
    digests = index(source, None).digests
    keep_looks([(digests[0], b"\x00" * 246), (digests[1], b"")])
    looked.clear()
    index(source, None)
    assert len(looked) == 2
