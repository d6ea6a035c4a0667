"""The sentences that say what a run came to, and what to try next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from surgeon.report.verdict import verdict
from surgeon.results.run import Evaluation, RunResult, measure
from surgeon.runs.folder import read_result

Surgeon = Callable[..., Any]


def found(right: int, images: int) -> Evaluation:
    """Of so many images of two classes some are taken for what they are."""
    return measure("test", ("a", "b"), [(0, 0, right), (1, 0, images - right)])


@pytest.fixture
def result(trained: Path) -> RunResult:
    return replace(read_result(trained), evaluation=found(90, 100), linear_probe=None)


def curves(result: RunResult, best: int | None = None, **history: tuple[float, ...]) -> RunResult:
    """The same with other curves of the last phase."""
    (first, *_), last = result.phases, result.phases[-1]
    epochs = len(history["val_accuracy"])
    history = {"accuracy": history["val_accuracy"], "val_loss": (1.0,) * epochs, **history}
    return replace(result, phases=(first, replace(last, epochs=epochs, best_epoch=best, history=history)))


def test_how_well_and_how_sure(result: RunResult) -> None:
    (said, *_) = verdict(result)
    assert said == "90.0% of 100 test images are classified correctly, with a standard error of 3.1%."
    assert "standard error of 0.0%" not in verdict(replace(result, evaluation=found(100, 100)))[0]
    assert verdict(replace(result, evaluation=None)) == []


@pytest.mark.parametrize(
    ("probe", "said"),
    [(80, "reaches 80.0%."), (91, "91.0%, which is about as good."), (95, "may help (surgeon lr, surgeon depth).")],
)
def test_against_the_linear_probe(probe: int, said: str, result: RunResult) -> None:
    told = verdict(replace(result, linear_probe=found(probe, 100)))
    assert told[1].endswith(said)


def test_what_the_curves_say(result: RunResult) -> None:
    rising = curves(result, val_accuracy=(0.5, 0.6, 0.7), val_loss=(3.0, 2.0, 1.0))
    assert "more epochs may help" in verdict(rising)[-1]
    apart = curves(result, val_accuracy=(0.7, 0.8, 0.7), accuracy=(0.8, 0.9, 1.0))
    assert verdict(apart)[-1].startswith("Accuracy is 100.0% on training and 70.0% on validation images")
    restored = curves(result, best=2, val_accuracy=(0.7, 0.85, 0.6), accuracy=(0.8, 0.9, 1.0))
    assert len(verdict(restored)) == 1  # the network that is kept has 0.9 and 0.85
    as_begun = curves(result, best=0, val_accuracy=(0.5, 0.6, 0.7), val_loss=(3.0, 2.0, 1.0))
    as_begun = replace(as_begun, phases=(replace(as_begun.phases[-1], start={"val_accuracy": 0.75}),))
    assert "ends with its initial weights (val_accuracy 0.7500)" in verdict(as_begun)[-1]
    settled = curves(result, val_accuracy=(0.8, 0.9, 0.9))
    assert len(verdict(settled)) == 1


def test_the_terminal_and_the_page_say_it(surgeon: Surgeon, tiny: Path, tmp_path: Path) -> None:
    done = surgeon("run", tiny, "--out", tmp_path / "run")
    (said, *_) = verdict(read_result(tmp_path / "run"))
    assert said in done.out
    assert said in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"report: {tmp_path / 'run' / 'report.html'}" in done.out.replace("\n", "")
