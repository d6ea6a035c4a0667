"""Events as they come: a bar with an estimate, a line per epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as RichProgress,
)
from rich.table import Column

from surgeon.report.terminal import Terminal, styled
from surgeon.report.trials import live_table, trial_line
from surgeon.results.events import (
    AuditResult,
    BatchEnded,
    EpochEnded,
    Event,
    FeaturesKept,
    Note,
    PhaseResult,
    PhaseStarted,
    Progress,
    TrialEnded,
)
from surgeon.text import counted

if TYPE_CHECKING:
    from rich.text import Text

_WIDE, _WIDEST = 76, 120  # columns of a terminal that has room for the rate and a bar, and for all


def show_progress(event: Event) -> None:
    """Prints events to standard output: a line per phase and epoch and, in between, the progress of the work.

    Use it as ``on_event``, in a notebook or a terminal. Progress is shown on one line, which is overwritten;
    when the output goes to a file, that line is left out.

    Examples:
        >>> run = surgeon.train("photos.yaml", "runs/night", on_event=surgeon.show_progress)
        phase 1/2: warm-up, 2,562 parameters trained, 10 epochs of 16 steps
    """
    # Bars of rich need somebody who ends them and, in a notebook, ipywidgets; a carriage return needs neither.
    terminal = Terminal()
    line = _line(event)
    if line is not None:
        terminal.write_line(str(line))
    else:
        terminal.overwrite(_step(event))


class _LineColumn(TextColumn):
    """A column of text from outside, which the library would read as markup."""

    def render(self, task: Task) -> Text:
        text = styled(self.text_format.format(task=task))
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


class _Bars(RichProgress):
    """Bars, and what stands below them."""

    below: RenderableType | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.below is not None:
            yield self.below


class ProgressDisplay:
    """Shows events on a console while it is entered as a context.

    On a terminal the current work has a bar, with how far a sweep is below it; elsewhere only phases, epochs, trials
    and notes are written.
    """

    def __init__(self, console: Terminal, *, briefly: bool = False) -> None:
        """Shows nothing yet.

        Args:
            console: Where.
            briefly: Whether a phase is one line, without its epochs, as where many short ones are compared.
        """
        self._console = console
        self._briefly = briefly
        self._bars = _Bars(*_columns(console.width), console=console, transient=True, disable=not console.is_terminal)
        self._work: tuple[str, TaskID] | None = None
        self._phase: PhaseStarted | None = None
        self._states: Counter[str] = Counter()
        self._figures: tuple[str, ...] = ()
        self._noted: set[str] = set()  # what trials have to say is the same for many of them

    def __enter__(self) -> ProgressDisplay:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, event: Event) -> None:
        """Shows one event."""
        if isinstance(event, Progress):
            self._show_work(event)
        elif isinstance(event, BatchEnded):
            if self._phase is not None:
                self._show_step(event, self._phase)
        elif isinstance(event, EpochEnded):
            if not self._briefly:
                self._show_epoch(event)
        elif (line := _brief_line(event) if self._briefly else _line(event)) is not None and not self._is_known(event):
            self._console.show(line)
        if isinstance(event, PhaseStarted):
            self._phase, self._figures = event, ()
            self._begin_anew(event.phase)
        elif isinstance(event, TrialEnded):
            self._states[event.trial.state] += 1
            self._bars.below = live_table(event, self._states)

    def _is_known(self, event: Event) -> bool:
        """Tells whether a note was shown before, from which on it is."""
        if not isinstance(event, Note):
            return False
        is_known = event.text in self._noted
        self._noted.add(event.text)
        return is_known

    def _show_epoch(self, event: EpochEnded) -> None:
        """Shows an epoch as a row, the first one of a phase below the names of its figures."""
        figures = {name: value for name, value in event.figures.items() if name != "lr" or self._console.width >= _WIDE}
        if tuple(figures) != self._figures:
            self._figures = tuple(figures)
            names = "  ".join(f"{name:>{_width(name)}}" for name in figures)
            self._console.show(styled((f"  epoch  {names}    time", "dim")))
        values = "  ".join(
            f"{value:>{_width(name)}{'.3g' if name == 'lr' else '.4f'}}" for name, value in figures.items()
        )
        self._console.show(f"  {event.epoch:5}  {values}  {event.seconds:4.1f} s")

    def _begin_anew(self, key: str) -> None:
        """Lets go of a bar, of a run before this one perhaps, so that the time of new work counts from its start."""
        for task in self._bars.tasks:
            if task.fields["key"] == key:
                self._bars.remove_task(task.id)
        if self._work is not None and self._work[0] == key:
            self._work = None

    def _show_work(self, event: Progress) -> None:
        if any(task.fields["key"] == event.task and task.completed > event.done for task in self._bars.tasks):
            self._begin_anew(event.task)
        task = self._task(event.task, event.total)
        counted_so_far = event.unit if event.total else f"{event.done:,} {event.unit}"
        self._bars.update(task, completed=event.done, total=event.total, figures=counted_so_far)

    def _show_step(self, event: BatchEnded, phase: PhaseStarted) -> None:
        """Advances the bar of the whole phase, so that what is left is the phase's time."""
        task = self._task(f"{phase.phase}, epoch {event.epoch}/{phase.epochs}", phase.epochs * phase.steps, phase.phase)
        figures = _figures_so_far(event) if self._console.width >= _WIDEST else f"loss {event.loss:.3f}"
        self._bars.update(task, completed=(event.epoch - 1) * phase.steps + event.step, figures=figures)

    def _task(self, description: str, total: int | None, key: str | None = None) -> TaskID:
        """Returns the bar of a piece of work; validation between epochs does not make a phase's bar start anew."""
        key = key or description
        if self._work is None or self._work[0] != key:
            for known in self._bars.tasks:
                self._bars.update(known.id, visible=False)
            known_ids = [task.id for task in self._bars.tasks if task.fields["key"] == key]
            task = known_ids[0] if known_ids else self._bars.add_task(description, total=total, figures="", key=key)
            self._work = (key, task)
        self._bars.update(self._work[1], description=description, visible=True)
        return self._work[1]


def _columns(width: int) -> list[ProgressColumn]:
    """Returns what a bar shows on a terminal so wide; the time left is there on each, and the name is cut first."""
    elapsed = [TimeElapsedColumn(), _LineColumn("elapsed,")]
    return [
        _LineColumn("{task.description}", table_column=Column()),
        *([BarColumn(bar_width=24 if width >= _WIDEST else 12)] if width >= _WIDE else []),
        TaskProgressColumn(),
        _LineColumn("{task.fields[figures]}"),
        *(elapsed if width >= _WIDEST else []),
        TimeRemainingColumn(),
        _LineColumn("left"),
    ]


def _width(figure: str) -> int:
    """Returns how wide the column of a figure is: a rate such as 3.162e-05 is longer than its name."""
    return max(len(figure), 9 if figure == "lr" else 6)


def _line(event: Event) -> str | Text | None:
    """Returns the line that stays of an event; of steps there is none."""
    if isinstance(event, Note):
        return event.text
    if isinstance(event, FeaturesKept):
        return _kept(event)
    if isinstance(event, PhaseStarted):
        title = f"phase {event.number}/{event.phases}: {event.phase}"
        length = f"{counted(event.epochs, 'epoch')} of {counted(event.steps, 'step')}"
        return styled((title, "bold"), f", {counted(event.trainable_parameters, 'parameter')} trained, {length}")
    if isinstance(event, EpochEnded):
        return f"  epoch {event.epoch:2}  {_figures(event.figures)}  {event.seconds:.1f} s"
    if isinstance(event, PhaseResult | TrialEnded):
        return _end(event)
    return None


def _brief_line(event: Event) -> str | Text | None:
    """Returns the line that stays of an event where a phase is one of many."""
    if isinstance(event, PhaseStarted):
        return None
    if isinstance(event, PhaseResult):
        figures = {name: values[-1] for name, values in event.history.items() if name in ("accuracy", "val_accuracy")}
        return f"  {event.name}: {_figures(figures)}, {counted(event.epochs, 'epoch')} in {event.seconds:.1f} s"
    return _line(event)


def _end(event: PhaseResult | TrialEnded) -> str | Text:
    """Returns the line of a phase or a trial that is over."""
    if isinstance(event, TrialEnded):
        return trial_line(event.trial)
    ends = {None: "", 0: f", ends with its initial weights, which were better ({_figures(event.start)})"}.get(
        event.best_epoch, f", ends with epoch {event.best_epoch}"
    )
    return f"  {counted(event.epochs, 'epoch')} in {event.seconds:.1f} s{ends}; {_audit(event.audit)}"


def _step(event: Event) -> str:
    """Returns how far the work is; nothing where it is done."""
    if isinstance(event, BatchEnded):
        return f"  epoch {event.epoch:2}  {_figures_so_far(event)}"
    if isinstance(event, Progress) and event.done != event.total:
        of = "" if event.total is None else f"/{event.total:,}"
        return f"{event.task}: {event.done:,}{of} {event.unit}"
    return ""


def _figures_so_far(event: BatchEnded) -> str:
    return f"step {event.step}/{event.steps}  loss {event.loss:.3f}  accuracy {event.accuracy:.3f}"


def _audit(audit: AuditResult) -> str:
    """Returns what is proven of a phase."""
    but = f" except {', '.join(audit.unmoved)}" if audit.unmoved else ""
    moved = f"{audit.trained_layers} trained, all changed{but}" if audit.trained_layers else "none changed"
    return f"{audit.frozen_layers} layers frozen, bit-identical; {moved}"


def _kept(event: FeaturesKept) -> str:
    """Returns where frozen features are kept; where that is nowhere, there is nothing to count."""
    kept = f"frozen features of {', '.join(event.layers)}, {event.size / 1e6:,.0f} MB, are kept {event.place}"
    if not event.known + event.computed:
        return kept
    return f"{kept}; {counted(event.known, 'image')} cached, {event.computed:,} to compute"


def _figures(figures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
