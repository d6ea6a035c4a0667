"""What computes fastest is found by trying it: the engine of a pass, the precision of a phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surgeon.features import fastest as engines_tried
from surgeon.features import frozen
from surgeon.model import precision as precisions
from surgeon.model.engine import Engine, engines_for
from surgeon.model.precision import precisions_for
from surgeon.recipe.compiler import compile_recipe
from surgeon.results.events import EpochEnded, Event, Note
from surgeon.results.run import RunResult
from surgeon.training import fastest as precisions_tried
from surgeon.training.runner import run

pytestmark = pytest.mark.usefixtures("tiny_and_small")
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")

Finish = Callable[..., tuple[Any, list[Event]]]


@pytest.fixture
def begin(tiny: Path, tmp_path: Path) -> Callable[..., Iterator[Event]]:
    """Begins a run of the tiny recipe with some overrides."""

    def begin(name: str, *overrides: str) -> Any:
        (tmp_path / name).mkdir(exist_ok=True)
        return run(compile_recipe(tiny, overrides), tmp_path / name)

    return begin


def notes(events: list[Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Note))


def figures(result: RunResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in phase.history.items() if key != "seconds"} for phase in result.phases]


@pytest.fixture
def engine_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Says what engines take, whatever they do, which they do all the same; no features are kept yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seconds = {"tensorflow": 1.0, "openvino": 2.0}
    tried = engines_tried._seconds

    def timed(engine: Engine, *rest: Any) -> float:
        tried(engine, *rest)
        return seconds[engine.name] * (2 if engine.precision == "bfloat16" else 1)

    monkeypatch.setattr(engines_tried, "_seconds", timed)
    monkeypatch.setattr(frozen, "WORTH_TIMING", 0)
    return seconds


@pytest.fixture
def step_seconds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Says what steps take in each precision, whatever they do, which they do all the same."""
    seconds = {"float32": 1.0, "bfloat16": 2.0}
    tried = precisions_tried._gradient_seconds

    def timed(setup: Any, *rest: Any) -> float:
        tried(setup, *rest)
        return seconds[setup.plan.precision]

    monkeypatch.setattr(precisions_tried, "_gradient_seconds", timed)
    monkeypatch.setattr(precisions_tried, "WORTH_TIMING", 0)
    monkeypatch.setattr(precisions, "bfloat16_support", lambda: True)
    return seconds


@needs_openvino
def test_the_faster_engine_computes_and_is_timed_once(
    begin: Any, finish: Finish, engine_seconds: dict[str, float]
) -> None:
    _, events = finish(begin("first"))
    assert " ms with tensorflow in float32 through the frozen layers" in notes(events)
    assert "TensorFlow" in notes(events)
    engine_seconds["openvino"] = 0.5
    result, events = finish(begin("second"))
    assert result.frozen.computed == 0  # what the slower one would have to compute again is there
    assert " ms with" not in notes(events)
    _, events = finish(begin("third", "features=memory"))
    assert "OpenVINO" in notes(events)


@needs_openvino
def test_an_engine_that_cannot_compute_the_layers_is_passed_over(
    begin: Any, finish: Finish, engine_seconds: dict[str, float]
) -> None:
    del engine_seconds
    from surgeon.errors import SurgeonError

    def fails(engine: Engine, *rest: Any) -> float:
        if engine.name == "openvino":
            raise SurgeonError("OpenVINO cannot", "set engine: tensorflow")
        return 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines_tried, "_seconds", fails)
        _, events = finish(begin("run", "features=memory"))
        assert "TensorFlow" in notes(events)
        patch.setattr(frozen, "engines_for", lambda plan: (Engine("openvino", "float32", "", ""),) * 2)
        with pytest.raises(SurgeonError, match="OpenVINO cannot"):
            finish(begin("none", "features=memory"))


@pytest.mark.parametrize(
    ("support", "why"),
    [(True, "it takes too little time to try others"), (False, "this processor does not compute in bfloat16")],
)
def test_what_is_not_timed_is_said(
    support: bool, why: str, begin: Any, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precisions, "bfloat16_support", lambda: support)
    _, events = finish(begin("run", "precision=auto"))
    assert f"phase 'warm-up' trains in float32: {why}" in notes(events)
    assert " ms " not in notes(events)


@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_a_phase_trains_as_if_it_had_been_told_the_faster_precision(
    faster: str, begin: Any, finish: Finish, step_seconds: dict[str, float]
) -> None:
    step_seconds["bfloat16"] = {"float32": 0.95, "bfloat16": 0.8}[faster]  # a tenth is worth it, less is not
    others = ("features=off", "augment={flip: horizontal}")
    found, events = finish(begin("auto", "precision=auto", *others))
    assert f"phase 'warm-up' trains in {faster}: the gradients of a batch take " in notes(events)
    assert [phase.precision for phase in found.phases] == [faster] * len(found.phases)
    told, _ = finish(begin("told", f"precision={faster}", *others))
    for one, other in zip(figures(found), figures(told), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-5, err_msg=name)


def test_a_run_that_goes_on_does_so_in_the_precision_that_it_began_with(
    begin: Any, finish: Finish, step_seconds: dict[str, float]
) -> None:
    step_seconds["bfloat16"] = 0.5
    work = begin("run", "precision=auto", "engine=tensorflow")
    next(event for event in work if isinstance(event, EpochEnded))
    work.close()
    step_seconds["bfloat16"] = 5.0
    result, _ = finish(begin("run", "precision=auto", "engine=tensorflow"))
    assert [phase.precision for phase in result.phases] == ["bfloat16", "float32"]


@pytest.mark.parametrize(("support", "found"), [(True, 2), (None, 2), (False, 1)])
def test_what_is_timed(support: bool | None, found: int, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precisions, "bfloat16_support", lambda: support)
    plan = compile_recipe(tiny, ["precision=auto"])
    assert precisions_for(plan) == ("float32", "bfloat16")[:found]
    assert {engine.precision for engine in engines_for(plan)} == set(precisions_for(plan))


def test_what_has_to_be_the_same_twice_is_not_timed(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precisions, "bfloat16_support", lambda: True)
    plan = compile_recipe(tiny, ["precision=auto", "deterministic=true"])
    assert precisions_for(plan) == ("float32",)
    assert len(engines_for(plan)) == 1
