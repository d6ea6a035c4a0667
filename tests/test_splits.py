from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from surgeon.catalogue.sources.listing import LabelledImage, complete_listing
from surgeon.data.groups import name_groups
from surgeon.data.splits import split_images
from surgeon.errors import SurgeonError
from surgeon.recipe.data_plan import Fold, SplitPlan
from surgeon.recipe.keys import Choice
from surgeon.recipe.pace import Shares, draw_splits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def digest(content: object) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()


def pairwise_of(digests: Sequence[str], groups: Sequence[object]) -> Iterator[tuple[str, str]]:
    first: dict[object, str] = {}
    for content, group in zip(digests, groups, strict=True):
        yield first.setdefault(group, content), content


def split(  # noqa: PLR0917
    labels: Sequence[str],
    contents: Sequence[object],
    test: float,
    validation: float = 0,
    seed: int = 42,
    own: Sequence[str | None] | None = None,
    groups: Sequence[object] | None = None,
    small_classes: str = "fail",
    tested: Fold | None = None,
) -> tuple[str, ...]:
    digests = [digest(content) for content in contents]
    named = digests if groups is None else name_groups(digests, list(pairwise_of(digests, groups)))
    plan = SplitPlan(test, validation, seed, Choice("none", {}), small_classes)
    return split_images(labels, digests, named, own or [None] * len(labels), plan, tested)


def test_a_quarter_of_flowers17_is_twenty_of_each_class() -> None:
    labels = [f"flower {number // 80:02}" for number in range(1360)]
    splits = split(labels, range(1360), 0.25, 0.1)
    assert Counter(splits) == {"train": 884, "validation": 136, "test": 340}
    assert set(Counter(zip(labels, splits, strict=True)).values()) == {20, 8, 52}


def test_the_assignment_is_the_same_everywhere() -> None:
    splits = split(["a", "b"] * 10, range(20), 0.25)
    assert [number for number, part in enumerate(splits) if part == "test"] == [0, 11, 16, 18, 19]


def test_another_seed_draws_others() -> None:
    labels = ["a", "b"] * 50
    assert split(labels, range(100), 0.2, seed=1) != split(labels, range(100), 0.2, seed=2)


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    """Labels and contents of images, some of them copies of each other."""
    sizes = draw(st.lists(st.integers(8, 30), min_size=2, max_size=5))
    labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
    contents = list(range(len(labels)))
    copied = draw(st.lists(st.sampled_from(contents), max_size=10))
    return labels + [labels[number] for number in copied], contents + copied


@given(collections(), st.floats(0.15, 0.4), st.sampled_from([0.0, 0.15, 0.3]), st.integers(0, 2**32 - 1), st.randoms())
def test_order_does_not_matter_copies_stay_together_and_classes_are_balanced(
    images: tuple[list[str], list[int]], test: float, validation: float, seed: int, random: object
) -> None:
    labels, contents = images
    try:
        splits = split(labels, contents, test, validation, seed)
    except SurgeonError:
        assume(False)
    order = list(range(len(labels)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = split([labels[n] for n in order], [contents[n] for n in order], test, validation, seed)
    assert shuffled == tuple(splits[n] for n in order)

    split_of = dict(zip(contents, splits, strict=True))
    assert splits == tuple(split_of[content] for content in contents)

    label_of = dict(zip(contents, labels, strict=True))
    sizes = Counter(label_of.values())
    counts = Counter((label, split_of[content]) for content, label in label_of.items())
    totals = Counter(split_of.values())
    assert -1e-6 < totals["test"] - test * len(split_of) < 1 + 1e-6
    assert -1e-6 < totals["validation"] - validation * len(split_of) < 1 + 1e-6
    for label, size in sizes.items():
        assert abs(counts[label, "test"] - totals["test"] * size / len(split_of)) < 1
        rest = size - counts[label, "test"]
        share = totals["validation"] * rest / (len(split_of) - totals["test"])
        assert abs(counts[label, "validation"] - share) < 1
        assert counts[label, "train"] > 0


def test_nothing_held_out() -> None:
    assert split(["a", "b"], [1, 2], 0) == ("train", "train")


class TestOwnSplits:
    LABELS = ("a", "b") * 20

    def test_the_source_comes_first(self) -> None:
        own = ["train"] * 20 + ["validation"] * 10 + ["test"] * 10
        assert split(self.LABELS, range(40), 0.25, 0.25, own=own) == tuple(own)

    def test_validation_is_drawn_from_train(self) -> None:
        own = ["train"] * 20 + ["test"] * 20
        splits = split(self.LABELS, range(40), 0.5, 0.2, own=own)
        assert splits[20:] == ("test",) * 20
        assert Counter(zip(self.LABELS[:20], splits[:20], strict=True)) == {
            ("a", "train"): 8,
            ("b", "train"): 8,
            ("a", "validation"): 2,
            ("b", "validation"): 2,
        }

    def test_copies_of_what_the_source_holds_out_are_not_drawn(self) -> None:
        own = ["train"] * 20 + ["test"] * 20
        contents = [*range(20), *range(20)]
        with pytest.raises(SurgeonError):
            split(self.LABELS, [*range(19), 20, *range(20)], 0, 0.2, own=own)
        assert split(self.LABELS, contents, 0, 0.2, own=own) == tuple(own)


def test_copies_with_two_labels_stay_together() -> None:
    labels = ["a"] * 10 + ["b"] * 10
    contents = [*range(10), *range(5), *range(10, 15)]
    for seed in range(5):
        assert len({*zip(contents, split(labels, contents, 0.2, seed=seed), strict=True)}) == 15


@pytest.mark.parametrize(
    ("sizes", "test", "named"),
    [
        ({"tulip": 1, "rose": 20}, 0.25, "'tulip' (1)"),
        ({"tulip": 2, "rose": 20}, 0.1, "'tulip' (2)"),
        ({"tulip": 2, "rose": 20}, 0.9, "'tulip' (2)"),
        ({"tulip": 10, "rose": 20}, 0.01, "cannot take 1 of 30 images for test: too few to have all 2 classes"),
        ({"tulip": 10, "rose": 20}, 0.99, "too many to have all 2 classes on both sides"),
        ({"tulip": 10, "rose": 20}, 1.0, "too many to have all 2 classes on both sides"),
        ({f"class {n}": 1 for n in range(9)}, 0.5, "'class 4' (1), and 4 more"),
    ],
)
def test_what_cannot_be_drawn_is_named(sizes: dict[str, int], test: float, named: str) -> None:
    labels = list(Counter(sizes).elements())
    with pytest.raises(SurgeonError) as error:
        split(labels, range(len(labels)), test)
    assert named in error.value.message
    assert "change data.split.test" in str(error.value.hint)


def test_copies_do_not_make_a_class_large() -> None:
    with pytest.raises(SurgeonError, match="'tulip' \\(1\\)"):
        split(["tulip"] * 10 + ["rose"] * 10, [0] * 10 + [*range(1, 11)], 0.25)


class TestSmallClasses:
    @st.composite
    @staticmethod
    def long_tailed(draw: st.DrawFn) -> tuple[list[str], list[int]]:
        """The class and the group of images, of some classes very few; a group may be of several classes."""
        sizes = draw(st.lists(st.integers(1, 25), min_size=2, max_size=8))
        labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
        groups = list(range(len(labels)))
        for _ in range(draw(st.integers(0, 6))):
            groups[draw(st.sampled_from(groups))] = draw(st.sampled_from(groups))
        return labels, groups

    @settings(max_examples=200)
    @given(long_tailed(), st.floats(0.1, 0.4), st.sampled_from([0.0, 0.15]), st.integers(0, 2**32 - 1))
    def test_a_class_is_in_every_split_or_only_trained_on(
        self, images: tuple[list[str], list[int]], test: float, validation: float, seed: int
    ) -> None:
        labels, groups = images
        try:
            splits = split(labels, range(len(labels)), test, validation, seed, groups=groups, small_classes="train")
        except SurgeonError:
            assume(False)
        every = {"train", "test", *(["validation"] if validation else [])}
        of_class = {
            label: {part for name, part in zip(labels, splits, strict=True) if name == label} for label in set(labels)
        }
        assert all(parts in ({"train"}, every) for parts in of_class.values())
        assert every in of_class.values()
        assert len({*zip(groups, splits, strict=True)}) == len(set(groups))
        try:
            strict = split(labels, range(len(labels)), test, validation, seed, groups=groups)
        except SurgeonError:
            assert {"train"} in of_class.values()
        else:
            assert strict == splits

    def test_each_image_of_the_other_classes_is_in_one_fold(self) -> None:
        labels = ["rare"] * 2 + ["tulip"] * 10 + ["rose"] * 20
        folds = [split(labels, range(32), 0, 0.2, small_classes="train", tested=Fold(n, 5)) for n in range(1, 6)]
        tested = [Counter(part == "test" for part in parts) for parts in zip(*folds, strict=True)]
        assert tested == [Counter({False: 5})] * 2 + [Counter({False: 4, True: 1})] * 30
        with pytest.raises(SurgeonError, match="'rare' has 2"):
            split(labels, range(32), 0, 0.2, tested=Fold(1, 5))

    def test_where_all_classes_are_small_nothing_is_drawn(self) -> None:
        with pytest.raises(SurgeonError, match="too few images") as error:
            split(["a", "b", "c"], range(3), 0.5, small_classes="train")
        assert "small_classes" not in str(error.value.hint)  # which is what they are asked to do
        with pytest.raises(SurgeonError, match="too few images") as error:
            split(["a", "b", "c"], range(3), 0.5)
        assert "small_classes: train" in str(error.value.hint)

    def test_what_counting_finds_is_what_drawing_finds(self) -> None:
        for sizes in ([15, 15, 15, 15], [60, 12, 3, 2, 1], [9, 9], [30, 2, 2]):
            labels = [f"class {number}" for number, size in enumerate(sizes) for _ in range(size)]
            listing = complete_listing(LabelledImage(str(at), label, None) for at, label in enumerate(labels))
            for test, validation in ((0.02, 0.2), (0.2, 0.02), (0.2, 0.2), (0.01, 0.01), (0.9, 0.05)):
                _, failures = draw_splits(listing, [None] * len(labels), Shares(test, validation, 1, keep_small=True))
                try:
                    split(labels, range(len(labels)), test, validation, small_classes="train")
                except SurgeonError:
                    assert failures, (sizes, test, validation)
                else:
                    assert not failures, (sizes, test, validation)


class TestGroups:
    def test_what_the_source_holds_out_takes_its_groups_along(self) -> None:
        labels, own = ["tulip", "rose"] * 12, ["test"] * 4 + ["train"] * 20
        groups = [at % 4 if at < 20 else at for at in range(24)]
        splits = split(labels, range(24), 0.2, 0.5, own=own, groups=groups)
        assert [part for at, part in enumerate(splits) if 4 <= at < 20] == ["train"] * 16
        assert Counter(splits) == {"test": 4, "train": 18, "validation": 2}
        with pytest.raises(SurgeonError, match=r"1 of 4 images for validation: .*; 16 more are in groups"):
            split(labels, range(24), 0.2, 0.25, own=own, groups=groups)
        listing = complete_listing(
            LabelledImage(f"{at:02}", label, of) for at, (label, of) in enumerate(zip(labels, own, strict=True))
        )
        with pytest.raises(SurgeonError, match="no image is left for validation"):
            split(labels, range(24), 0.2, 0.25, own=own, groups=[at % 4 for at in range(24)])
        with pytest.raises(SurgeonError, match="no image is left for validation"):
            draw_splits(listing, [f"group {at % 4}" for at in range(24)], Shares(0.2, 0.25, 1, keep_small=False))
        keys = [f"group {group}" for group in groups]
        assert draw_splits(listing, keys, Shares(0.2, 0.5, 1, keep_small=False)) == (18, [])
        (failed,) = draw_splits(listing, keys, Shares(0.2, 0.25, 1, keep_small=False))[1]
        assert failed[0] == "validation"

    @st.composite
    @staticmethod
    def grouped(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, int]]]:
        """The class and the group of images; groups are of one class each."""
        labels, groups = [], []
        for number in range(draw(st.integers(2, 4))):
            for group, size in enumerate(draw(st.lists(st.integers(1, 6), min_size=4, max_size=12))):
                labels += [f"class {number}"] * size
                groups += [(f"class {number}", group)] * size
        return labels, groups

    @settings(max_examples=50)
    @given(grouped(), st.floats(0.15, 0.4), st.sampled_from([0.0, 0.2]), st.integers(0, 2**32 - 1), st.randoms())
    def test_they_stay_together_whatever_their_order_and_classes_come_near_to_their_part(
        self,
        images: tuple[list[str], list[tuple[str, int]]],
        test: float,
        validation: float,
        seed: int,
        random: object,
    ) -> None:
        labels, groups = images
        contents = list(range(len(labels)))
        try:
            splits = split(labels, contents, test, validation, seed, groups=groups)
        except SurgeonError:
            assume(False)
        order = list(contents)
        random.shuffle(order)  # type: ignore[attr-defined]
        shuffled = split([labels[n] for n in order], order, test, validation, seed, groups=[groups[n] for n in order])
        assert shuffled == tuple(splits[n] for n in order)

        assert len({*zip(groups, splits, strict=True)}) == len(set(groups))
        for label in set(labels):
            own = [group for group in groups if group[0] == label]
            assert {*splits} == {part for name, part in zip(labels, splits, strict=True) if name == label}
            drawn = Counter(
                group for group, part in zip(groups, splits, strict=True) if group in own and part == "test"
            )
            if 1 < len(drawn) < len(set(own)) - 1:
                share = math.ceil(test * len(labels) - 1e-9) * len(own) / len(labels)
                assert abs(drawn.total() - share) < 1 + max(Counter(own).values()) / 2

    def test_where_there_are_enough_single_images_the_parts_are_exact(self) -> None:
        labels = ["a"] * 40 + ["b"] * 60
        groups = [*(n // 4 for n in range(20)), *range(100, 120), *(200 + n // 5 for n in range(30)), *range(300, 330)]
        for seed in range(10):
            splits = split(labels, range(100), 0.25, 0.15, seed, groups=groups)
            assert Counter(splits) == {"test": 25, "validation": 15, "train": 60}
            assert Counter(zip(labels, splits, strict=True))["a", "test"] == 10

    def test_the_smallest_group_represents_a_class_whose_groups_are_all_too_large(self) -> None:
        labels, groups = ["a"] * 50 + ["b"] * 50, [0] * 20 + [1] * 30 + [*range(100, 150)]
        for seed in range(5):
            assert Counter(
                zip(groups, split(labels, range(100), 0.1, seed=seed, groups=groups), strict=True)
            ) >= Counter({(0, "test"): 20, (1, "train"): 30})

    def test_a_class_of_one_group_is_named(self) -> None:
        with pytest.raises(SurgeonError) as error:
            split(["a"] * 10 + ["b"] * 10, range(20), 0.25, groups=[0] * 10 + [*range(1, 11)])
        assert "'a' (10 images in 1 group)" in error.value.message
        assert "change data.split.group" in str(error.value.hint)

    def test_what_a_source_holds_out_keeps_its_group_out_of_what_is_drawn(self) -> None:
        labels, own = ["a", "b"] * 20, ["train"] * 30 + ["test"] * 10
        groups = [n % 20 for n in range(40)]  # of the training images those from 10 to 19 are like test images
        splits = split(labels, range(40), 0.25, 0.25, own=own, groups=groups)
        assert splits[30:] == ("test",) * 10
        assert "validation" not in splits[10:20]
        assert all(splits[n] == splits[n + 20] for n in range(10))
        assert "validation" in splits
