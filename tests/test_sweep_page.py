"""How a sweep is shown: on a terminal, as a picture, and as a page that is opened in a browser."""

from __future__ import annotations

import io
import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import look
from PIL import Image

from surgeon.recipe.text import dump_text, parse_text
from surgeon.report.axes import Axis, Categories, value_axis
from surgeon.report.progress import ProgressDisplay
from surgeon.report.sweep import (
    best_so_far,
    best_text,
    caution,
    draw_sweep,
    failures_text,
    next_commands,
    own_text,
    trials_table,
    untrained_text,
    verdict,
)
from surgeon.report.sweep_page import render_sweep
from surgeon.report.terminal import Terminal
from surgeon.report.trials import short_paths
from surgeon.results.events import TrialEnded, event_record
from surgeon.results.run import Spread
from surgeon.results.sweep import FinalResult, SweepResult, Trial, TrialPhase

if TYPE_CHECKING:
    from rich.console import RenderableType

HOSTILE = "<b>roses & thorns</b> [bold]\x1b[31m"
OUT_OF_MEMORY = "out of memory: 25,088 x 4,096 weights <do not> fit"
STARTS = ["head", "block5_conv1..", "block4_conv1..", ["head", "block5_*"]]
PATHS = [
    "head[1].dense.units",
    "phases[1].lr.cosine.peak",
    "phases[1].trainable",
    "phases[0].optimizer",
    "head[2].dropout",
]


def make_trial(number: int, chance: random.Random) -> Trial:
    """A trial whose accuracy depends on its rate and its depth; one of ten is pruned, one of fifteen fails."""
    rate = 10 ** chance.uniform(-5, -2)
    start = chance.randrange(len(STARTS))
    values = {
        PATHS[0]: chance.choice([128, 256, 512]),
        PATHS[1]: rate,
        PATHS[2]: STARTS[start],
        PATHS[3]: chance.choice(["adam", {"sgd": {"momentum": 0.9, "nesterov": True}}]),
        PATHS[4]: chance.choice([None, {"rate": 0.2}, {"rate": 0.5}]),
    }
    reached = 0.94 - 0.05 * (math.log10(rate) + 3.5) ** 2 + 0.01 * start + chance.gauss(0, 0.008)
    state = "pruned" if number % 10 == 7 else "failed" if number % 15 == 11 else "finished"
    state = "duplicate" if number % 29 == 20 else state
    phases = (
        make_phase("warm-up <1>", 5, 0.4, 0.8 * reached, chance),
        make_phase("fine-tune", 10, 0.8 * reached, reached, chance),
    )
    reasons = {"pruned": "epoch 3 was worse than the median", "failed": OUT_OF_MEMORY, "duplicate": "of trial 3"}
    return Trial(
        number=number,
        values=values,
        recipe={
            "name": HOSTILE,
            "phases": [{"lr": 0.1}, {"lr": {"cosine": {"peak": rate}}, "trainable": STARTS[start]}],
        },
        state=state,
        objective=None if state == "failed" else 0.8 * reached if state == "pruned" else reached,
        reason=reasons.get(state, ""),
        phases={"failed": (), "duplicate": (), "pruned": phases[:1]}.get(state, phases),
        together=chance.choice([1, 4]),
        seconds=0.0 if state == "duplicate" else chance.uniform(5, 12),
        ended=9.0 * number,
    )


def make_phase(name: str, epochs: int, start: float, end: float, chance: random.Random) -> TrialPhase:
    accuracy = tuple(end - (end - start) * 0.6**epoch + chance.gauss(0, 0.004) for epoch in range(epochs))
    loss = tuple(1.3 - value for value in accuracy)
    return TrialPhase(name, None, {"loss": loss, "accuracy": accuracy, "val_loss": loss, "val_accuracy": accuracy})


def make_sweep(count: int = 30) -> SweepResult:
    chance = random.Random(7)
    return SweepResult(
        name=HOSTILE,
        objective="val_accuracy",
        images=272,
        folds=1,
        method="tpe",
        pruning="median",
        trials=tuple(make_trial(number, chance) for number in range(1, count + 1)),
        importances=dict(zip(PATHS[1:3] + PATHS[:1], (0.61, 0.29, 0.1), strict=True)),
        seconds=9.0 * count,
        final=FinalResult(("final-1", "final-2"), {"accuracy": Spread(0.913, 0.006, (0.907, 0.919))}),
    )


def all_failed(count: int = 3) -> SweepResult:
    failed = tuple(
        replace(trial, state="failed", objective=None, phases=(), reason=OUT_OF_MEMORY)
        for trial in make_sweep(count).trials
    )
    return replace(make_sweep(count), trials=failed, importances={}, final=None)


def shown(*renderables: RenderableType, width: int = 80) -> str:
    """What a terminal without colours receives."""
    terminal = Terminal()
    terminal.file, terminal.width = io.StringIO(), width
    terminal.show(*renderables)
    return terminal.file.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_of_80_columns_shows_the_best_trials_first() -> None:
    sweep = make_sweep()
    text = shown(trials_table(sweep))
    lines = text.splitlines()
    rows = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert [int(row[0]) for row in rows] == [trial.number for trial in sweep.ranked[:20]]
    assert lines[1].split() == ["trial", "state", "accuracy", "peak", "trainable", "units", "s"]
    assert max(map(len, lines)) <= 80
    assert "and 10 more: 4 finished, 3 pruned, 2 failed, 1 duplicate" in text
    assert "not shown: optimizer, dropout" in " ".join(text.split())


def test_what_is_said_of_the_best_trial() -> None:
    sweep = make_sweep()
    text = shown(*best_text(sweep, Path("sweeps/night")), width=300)
    assert f"The best of 24 finished trials, trial {sweep.ranked[0].number}, reached a validation accuracy of" in text
    assert "it is optimistic" in text
    assert "peak 61%, trainable 29%, units 10%" in text
    assert "accuracy 0.9130 ± 0.0060" in text
    assert "surgeon run sweeps/night/best.yaml" in text
    assert "--final 3" not in text  # it was measured
    assert "--final 3" in shown(*best_text(replace(sweep, final=None), Path("sweeps/night")), width=300)


def test_what_the_recipe_itself_came_to_is_said() -> None:
    sweep = make_sweep(3)
    finished = [replace(trial, state="finished", objective=0.9 - 0.2 * trial.number) for trial in sweep.trials]
    third = replace(finished[1], objective=0.695)
    sweep = replace(sweep, trials=(*finished[:2], replace(third, number=3)))
    told = {own: own_text(replace(sweep, own=own)) for own in (None, 0, 1, 2, 3)}
    assert told == {
        None: "",
        0: "The recipe itself was not among the trials.",
        1: "It is the recipe itself: nothing else that was tried did better.",
        2: "The recipe itself, trial 2, reached 0.5000.",
        3: "The recipe itself, trial 3, reached 0.6950, within a standard error of it.",
    }
    assert told[3] in shown(*best_text(replace(sweep, own=3), Path("sweep")), width=300)
    assert told[3] in render_sweep(replace(sweep, own=3), "", [])
    ended = replace(sweep, own=3, trials=(*finished[:2], replace(third, number=3, state="pruned")))
    assert own_text(ended) == "The recipe itself, trial 3, was ended early at 0.6950."
    assert own_text(replace(all_failed(), own=1)) == ""


def test_trials_that_end_as_they_began_are_counted() -> None:
    def ending(sweep: SweepResult, epochs: Sequence[int | None]) -> SweepResult:
        trials = [
            replace(trial, state="finished", objective=0.9, phases=(replace(trial.phases[-1], best_epoch=epoch),))
            for trial, epoch in zip(sweep.trials, epochs, strict=True)
        ]
        return replace(sweep, trials=tuple(trials))

    sweep = make_sweep(3)
    assert untrained_text(ending(sweep, [None, 2, 1])) == ""
    told = untrained_text(ending(sweep, [0, 2, 0]))
    assert told.startswith("2 of 3 end with the weights that the last phase began with")
    assert told in shown(*best_text(ending(sweep, [0, 2, 0]), Path("sweep")), width=300)
    assert told in render_sweep(ending(sweep, [0, 2, 0]), "", [])
    assert untrained_text(ending(sweep, [0, 0, 0])).startswith("All end with")


def test_trials_within_a_standard_error_are_named() -> None:
    sweep = make_sweep(6)
    level = tuple(replace(trial, state="finished", objective=0.9 + trial.number / 1000) for trial in sweep.trials)
    assert caution(replace(sweep, trials=level)).endswith("Within a standard error of it: trials 5, 4, 3, 2, 1.")
    loss = replace(sweep, trials=level, objective="val_loss")
    assert verdict(loss).startswith("The best of 6 finished trials, trial 1, reached a validation loss of 0.9010 on")
    assert "without folds, the standard error of a loss is not known" in caution(loss)
    tied = tuple(replace(trial, objective=0.9) for trial in level[:3])
    assert "trial 1 (as good: trials 2, 3), reached" in verdict(replace(sweep, trials=tied))


def test_differences_within_a_standard_error_are_not_explained() -> None:
    sweep = make_sweep()
    assert sweep.explained == sweep.importances
    level = replace(sweep, trials=tuple(replace(one, objective=0.9) for one in sweep.ranked))
    assert level.explained == {}
    assert "explained by each value" not in shown(*best_text(level, Path("s")), width=300)


def test_failures_are_told_by_their_reason() -> None:
    (line,) = failures_text(make_sweep())
    assert line.plain == f"2 failed (trials 11, 26): {OUT_OF_MEMORY}"
    assert shown(*best_text(all_failed(), Path("s"))).strip() == "None of 3 trials finished."
    assert "failed" in shown(trials_table(all_failed()))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (PATHS, ["units", "peak", "trainable", "optimizer", "dropout"]),
        (["phases[0].lr", "phases[1].lr", "name"], ["phases[0].lr", "phases[1].lr", "name"]),
        (["a[0].b.lr", "a[1].b.lr"], ["a[0]…lr", "a[1]…lr"]),
        (["a.b.lr", "a.c.lr"], ["a.b.lr", "a.c.lr"]),
    ],
)
def test_a_path_is_called_by_as_much_as_tells_it_apart(paths: list[str], names: list[str]) -> None:
    assert list(short_paths(paths).values()) == names


@pytest.mark.parametrize(
    ("values", "kind", "ticks"),
    [
        ([128, 512, 256, 128], Axis, ["128", "256", "512"]),
        ([1e-5, 1e-2, 3e-4], Axis, ["1e-5", "0.0003", "0.01"]),
        ([10 ** (-5 + at / 10) for at in range(31)], Axis, ["1e-5", "0.0001", "0.001", "0.01"]),
        ([at / 100 for at in range(51)], Axis, ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
        ([0.0, 1e-5, 1e-3], Categories, ["0", "1e-5", "0.001"]),
        ([None, "head", 3, ["a", {"b": True}]], Categories, ["3", "[a, {b: true}]", "head", "null"]),
        ([7], Axis, ["7"]),
    ],
)
def test_values_lie_on_an_axis_of_their_kind(values: list[Any], kind: type, ticks: list[str]) -> None:
    axis = value_axis(values)
    assert isinstance(axis, kind)
    assert [text for _, text in axis.ticks] == ticks
    assert all(0 < axis.place(value) < 1 for value in values)
    at = [place for place, _ in axis.ticks]
    assert at == sorted(set(at))


def test_the_best_so_far_only_rises_or_only_falls() -> None:
    sweep = make_sweep()
    places = {trial.number: trial.ended for trial in sweep.trials}
    rising = [objective for _, objective in best_so_far(sweep, places)]
    assert rising == sorted(rising)
    assert rising[-1] == sweep.ranked[0].objective
    loss = replace(sweep, objective="val_loss")
    falling = [objective for _, objective in best_so_far(loss, places)]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == loss.ranked[0].objective


@pytest.mark.parametrize("sweep", [make_sweep(), replace(make_sweep(), importances={}), all_failed()])
def test_a_sweep_as_a_picture(sweep: SweepResult, tmp_path: Path) -> None:
    draw_sweep(sweep, tmp_path / "sweep.png")
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.size == (1650, 675)
        assert len(set(picture.convert("L").tobytes())) > 10


@pytest.mark.parametrize("is_terminal", [False, True])
def test_trials_are_told_as_they_end(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of each stays, on a terminal with how far the sweep is below the bars; elsewhere without that."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    sweep = make_sweep()
    terminal = Terminal()
    terminal.file, terminal.width = io.StringIO(), 160
    terminal._force_terminal = terminal.is_interactive = is_terminal
    with ProgressDisplay(terminal) as display:
        for trial in sweep.trials[:20]:
            display.show(TrialEnded(trial, sweep.ranked[0], trial.number, 30, trial.ended, 270 - trial.ended))
        display._bars.refresh()
    text = re.sub(r"\x1b\[[\d;?]*\w", "", terminal.file.getvalue())  # type: ignore[attr-defined]
    assert "trial 11: failed (out of memory" in text
    assert "trial 20: 0.9127 duplicate (of trial 3)" in text
    assert ("20 of 30" in text and "time left" in text) is is_terminal


def test_a_trial_that_ended_is_a_line_of_json() -> None:
    sweep = make_sweep()
    record = json.loads(json.dumps(event_record(TrialEnded(sweep.trials[0], None, 1, None, 9.0, None))))
    assert record["event"] == "TrialEnded"
    assert record["trial"]["values"][PATHS[1]] == sweep.trials[0].values[PATHS[1]]


# Chooses a trial in the table and points at another in a chart; sorts by the rate; copies the recipe.
CHOOSE = """
  const told = document.getElementById("trial"), on = () => document.querySelectorAll(".plot .on").length;
  document.querySelector('button[data-trial="24"]').click();
  const chosen = [told.textContent, on()];
  const plot = document.querySelectorAll(".plot")[1], dot = plot.querySelector('[data-trial="7"]');
  dot.scrollIntoView({block: "center", behavior: "instant"});
  const {left, top, width, height} = dot.getBoundingClientRect();
  const at = {clientX: left + width / 2, clientY: top + height / 2, bubbles: true};
  plot.dispatchEvent(new PointerEvent("pointermove", at));
  const pointed = told.textContent;
  plot.dispatchEvent(new PointerEvent("pointerleave", at));
  const left_again = told.textContent === chosen[0];
  const table = document.querySelector("table.sortable");
  [...table.tHead.querySelectorAll("button")].find(({textContent}) => textContent === "peak").click();
  const rates = [...table.tBodies[0].rows].map(row => Number(row.cells[4].textContent));
  let copied;
  Object.defineProperty(navigator, "clipboard", {value: {writeText: text => { copied = text; }}});
  document.querySelector("[aria-labelledby=recipe] button").click();
  return {chosen, pointed, left_again, rates, copied, bold: document.querySelectorAll("h1 b, td b").length};
"""


def page_of(sweep: SweepResult, folder: Path) -> Path:
    page = folder / "sweep.html"
    recipe = dump_text(sweep.best.recipe) if sweep.best else ""
    page.write_text(render_sweep(sweep, recipe, next_commands(Path("night")) if sweep.best else []), encoding="utf-8")
    return page


@pytest.mark.parametrize(("width", "dark"), [pytest.param(1400, False, marks=pytest.mark.slow), (420, True)])
def test_the_page_works_in_a_browser(tmp_path: Path, width: int, dark: bool) -> None:
    sweep = make_sweep()
    told = look(page_of(sweep, tmp_path), width, CHOOSE, dark=dark)
    assert told["light"] is not dark
    assert told["faults"] == told["requests"] == []
    assert not told["overflow"]
    assert told["chosen"][0].startswith("trial 24, state finished, val_accuracy 0.9")
    assert told["chosen"][1] == 10  # in each chart
    assert told["pointed"].startswith("trial 7, state pruned")
    assert "why epoch 3 was worse than the median" in told["pointed"]
    assert told["left_again"]
    assert told["rates"] == sorted(told["rates"])
    assert parse_text(told["copied"], "copied")[0] == sweep.best.recipe
    assert told["bold"] == 0  # what is named so is text


@pytest.mark.parametrize(
    "sweep",
    [make_sweep(1), all_failed(), replace(make_sweep(1), trials=(), importances={})],
    ids=["one", "failed", "none"],
)
def test_a_sweep_of_hardly_anything_has_a_page(sweep: SweepResult, tmp_path: Path) -> None:
    text = page_of(sweep, tmp_path).read_text(encoding="utf-8")
    assert verdict(sweep) in text
    assert ("&lt;do not&gt; fit" in text) is any(trial.reason for trial in sweep.trials)
    assert "<b>roses" not in text
    assert text.count("</section>") == text.count("<section")


def test_the_page_of_a_thousand_trials_stays_small(tmp_path: Path) -> None:
    text = page_of(make_sweep(1000), tmp_path).read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    assert text.count('<button type="button" class="act" data-trial=') == 1000
    assert "more are not drawn" in text


@pytest.mark.slow
def test_more_trials_than_a_page_has_room_for_are_counted(tmp_path: Path) -> None:
    sweep = make_sweep(2600)
    sweep = replace(sweep, trials=tuple(replace(trial, phases=()) for trial in sweep.trials))
    assert len(sweep.ranked) > 2000
    text = page_of(sweep, tmp_path).read_text(encoding="utf-8")
    assert "600 more trials are in the sweep" in text
    drawn, rows = (
        set(re.findall(pattern, text))
        for pattern in (r'<(?:use|path)[^>]* data-trial="(\d+)"', r'<button[^>]* data-trial="(\d+)"')
    )
    assert drawn < rows
