"""Names are text: no terminal, table or line obeys them, and none is lost."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from surgeon.report.findings import findings_summary, findings_table
from surgeon.report.progress import ProgressDisplay
from surgeon.report.recipe import counts_table
from surgeon.report.results import comparison_table
from surgeon.report.terminal import Terminal, styled, table
from surgeon.report.use import predictions_table
from surgeon.results.events import BatchEnded, FeaturesKept, Note, PhaseStarted, Progress
from surgeon.results.findings import Finding
from surgeon.results.use import Prediction
from surgeon.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

Surgeon = Callable[..., Any]

HOSTILE = (
    "rose [male]",
    "[/x]",
    "[link=http://evil.example]here[/link]",
    ":apple:",
    "red\x1b[31m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "over\rwritten",
    "two\nlines",
    "gpj.\u202eexe",
    "caf\udce9",
    "\\[bold]",
)


def shown(*renderables: RenderableType) -> str:
    """What a wide terminal without colours receives."""
    terminal = Terminal()
    terminal.file, terminal.width = io.StringIO(), 1000
    terminal.show(*renderables)
    return terminal.file.getvalue()  # type: ignore[attr-defined]


def everywhere(name: str) -> list[RenderableType]:
    """A name in each place that a name can be in: title, header, cell, styled part, line, caption, message."""
    made = table(name, name, "number", numbers=("number",))
    made.add_row(name, styled((name, "dim")))
    made.caption = name
    predictions = [Prediction(name, (name, "other"), (0.9, 0.1)), Prediction("a", (), (), reason=name)]
    findings = [Finding("damaged", "error", (name,), name)]
    return [
        made,
        counts_table({"test": {name: 1, "other": 2}}, [name, "other"]),
        comparison_table([name, "b"], [{"seconds": 1}, {"seconds": 2}], [None, None]),
        predictions_table(predictions),
        findings_table(findings),
        findings_summary(findings, name),
        styled(name, (name, "bold")),
        name,
    ]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_name_is_shown_as_it_is_wherever_it_stands(name: str) -> None:
    for renderable in everywhere(name):
        assert printable(name) in shown(renderable)


@settings(max_examples=30)
@given(st.text(st.characters(), min_size=1, max_size=8))
def test_no_text_breaks_or_steers_a_table(name: str) -> None:
    assume(cell_len(printable(name)))  # rich leaves out accents and tones of skin that are on nothing
    for renderable in everywhere(name):
        text = shown(renderable)
        assert all(character.isprintable() or character in "\n\u200c\u200d" for character in text)
        assert "".join(printable(name).split()) in "".join(text.split())


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_progress_shows_names_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    console = Terminal()
    console.file, console.width = io.StringIO(), 200
    console._force_terminal = console.is_interactive = True
    with ProgressDisplay(console) as display:
        display.show(PhaseStarted(name, 1, 1, 10, 2, 3))
        display.show(Progress(name, 1, 2, name))
        display.show(FeaturesKept((name,), 1, "in memory", 1, 1))
        display.show(Note(name))
        display._bars.refresh()
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count(printable(name)) >= 4
    assert "\x1b]" not in text


def test_a_bar_of_a_second_run_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would show the time of the first, and nothing left."""
    monkeypatch.setenv("TERM", "xterm")
    console = Terminal()
    console.file, console.width = io.StringIO(), 200
    console._force_terminal = console.is_interactive = True
    with ProgressDisplay(console) as display:
        for steps in (2, 3):
            display.show(Progress("decode images", 1, 4, "images"))
            assert not display._bars.tasks[-1].finished
            display.show(Progress("decode images", 4, 4, "images"))
            display.show(PhaseStarted("warm-up", 1, 1, 1, steps, 3))
            display.show(BatchEnded("warm-up", 1, 1, steps, 0.5, 0.5))
            (bar,) = [task for task in display._bars.tasks if task.fields["key"] == "warm-up"]
            assert (bar.completed, bar.total, bar.finished) == (1, steps, False)
            display.show(BatchEnded("warm-up", 1, steps, steps, 0.5, 0.5))
            assert bar.finished
        assert len(display._bars.tasks) == 2
