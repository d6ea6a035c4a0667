"""The long form of ``augment`` means what the short form means, in the order that it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from surgeon.recipe.compiler import compile_recipe

LONG = "augment={views: 2, changes: [{rotation: 0.1}, {flip: {mode: horizontal}}, {zoom: 0.2}]}"
SHORT = "augment={views: 2, rotation: 0.1, flip: horizontal, zoom: 0.2}"


def test_both_forms_mean_the_same(tiny: Path) -> None:
    long, short = compile_recipe(tiny, [LONG]), compile_recipe(tiny, [SHORT])
    assert [change.name for change in long.augment] == ["rotation", "flip", "zoom"]
    assert (long.augment, long.views, long.recipe) == (short.augment, short.views, short.recipe)


def test_a_value_knows_where_it_was_written(tiny: Path) -> None:
    tiny.write_text(tiny.read_text(encoding="utf-8") + "augment:\n  changes:\n    - flip: vertical\n    - zoom: 0.3\n")
    last = len(tiny.read_text(encoding="utf-8").splitlines())
    origins = compile_recipe(tiny).origins
    assert origins["augment.zoom.factor"].startswith(f"{tiny}:{last}:")
    assert origins["augment.flip.mode"].startswith(f"{tiny}:{last - 1}:")


@pytest.mark.parametrize("order", [["flip", "rotation"], ["rotation", "flip"]])
def test_the_order_is_that_of_the_list(tiny: Path, order: list[str]) -> None:
    values = {"flip": "horizontal", "rotation": 0.1}
    listed = ", ".join(f"{{{name}: {values[name]}}}" for name in order)
    assert [change.name for change in compile_recipe(tiny, [f"augment={{changes: [{listed}]}}"]).augment] == order
