"""Names in pictures: written as they are, in fonts that have them."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from surgeon.evaluation.measures import evaluate
from surgeon.report.figures import draw_confusion, plain_style
from surgeon.report.fonts import families_for


@pytest.mark.parametrize(
    ("text", "families"),
    [
        ("rose", ["DejaVu Sans"]),
        ("\u0440\u043e\u0437\u0430 \u0648\u0631\u062f", ["DejaVu Sans"]),
        ("x\u1d8e", ["DejaVu Sans", "STIXGeneral"]),  # both come with matplotlib; only the second has this letter
        ("\u0378", ["DejaVu Sans"]),  # no character: what claims to have it draws boxes
    ],
)
def test_a_name_is_written_in_fonts_that_have_it(text: str, families: list[str]) -> None:
    assert families_for(text)[: len(families)] == families
    assert "Last Resort High-Efficiency" not in families_for(text)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, 2) for name in ("\u65e5\u672c", "\U0001f339", "$x^$", "n" * 300, "_", "a\nb\x1b[0m", "\udce9")),
        ("rose", 1001),
    ],
)
def test_no_name_and_no_number_of_classes_spoils_the_picture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, count: int
) -> None:
    classes = tuple(f"{name}{number}" for number in range(count))
    numbers = np.arange(count, dtype=np.int32)
    draw_confusion(evaluate("test", numbers, numbers, classes), tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert max(drawn.size) <= 3600
    assert capfd.readouterr() == ("", "")


def test_what_a_user_asks_of_matplotlib_does_not_count() -> None:
    with mpl.rc_context({"text.usetex": True, "font.family": "no such font"}), plain_style("rose"):
        assert not mpl.rcParams["text.usetex"]
        assert mpl.rcParams["font.family"] == ["DejaVu Sans"]
