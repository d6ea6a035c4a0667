from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from surgeon.data.splits import split_images
from surgeon.errors import SurgeonError
from surgeon.recipe.plan import SplitPlan

if TYPE_CHECKING:
    from collections.abc import Sequence


def digest(content: object) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()


def split(
    labels: Sequence[str],
    contents: Sequence[object],
    test: float,
    validation: float = 0,
    seed: int = 42,
    own: Sequence[str | None] | None = None,
) -> tuple[str, ...]:
    digests = [digest(content) for content in contents]
    return split_images(labels, digests, own or [None] * len(labels), SplitPlan(test, validation, seed))


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
        ({"tulip": 10, "rose": 20}, 0.01, "'tulip' (10)"),
        ({"tulip": 10, "rose": 20}, 0.99, "'tulip' (10)"),
        ({"tulip": 10, "rose": 20}, 1.0, "'tulip' (10)"),
        ({f"class {n}": 1 for n in range(9)}, 0.5, "'class 4' (1), and 4 more"),
    ],
)
def test_a_class_too_small_is_named(sizes: dict[str, int], test: float, named: str) -> None:
    labels = list(Counter(sizes).elements())
    with pytest.raises(SurgeonError) as error:
        split(labels, range(len(labels)), test)
    assert named in error.value.message
    assert "change data.split.test" in str(error.value.hint)


def test_copies_do_not_make_a_class_large() -> None:
    with pytest.raises(SurgeonError, match="'tulip' \\(1\\)"):
        split(["tulip"] * 10 + ["rose"] * 10, [0] * 10 + [*range(1, 11)], 0.25)
