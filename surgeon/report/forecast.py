"""What a run will compute, keep and take, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table

from surgeon.report.terminal import styled

if TYPE_CHECKING:
    from surgeon.results.forecast import Forecast, KeptTensor, PassForecast, PhaseForecast, ViewsForecast


def forecast_text(forecast: Forecast) -> list[RenderableType]:
    """Renders what a run will compute, keep and take, in the order in which it happens."""
    parts: list[RenderableType] = []
    for number, phase in enumerate(forecast.phases, start=1):
        parts += [_pass_block(done) for done in forecast.passes if done.before_phase == number]
        parts.append(_phase_block(phase, number))
    parts.append(_expectation(forecast))
    if forecast.with_views:
        parts.append(_views_advice(forecast.with_views, forecast.expected_seconds.all))
    return [*parts, *forecast.notes]


def _pass_block(done: PassForecast) -> Table:
    views = f", with {done.views} changed copies of each training image" if done.views else ""
    dtype = "" if done.dtype == "float32" else f" in {done.dtype}"
    rows: dict[str, RenderableType] = {
        "kept": Group(*map(_tensor, done.kept)),
        "images": f"{done.images:,}{views}",
        "size": f"{_size(done.bytes)}{dtype}",
        "where": done.place.reason,
    }
    if done.place.kind != "nowhere":
        rows |= {"arithmetic": _arithmetic(done.multiply_adds), "time": _about(done.seconds)}
    return _block(f"once, before phase {done.before_phase}", rows)


def _phase_block(phase: PhaseForecast, number: int) -> Table:
    at_most = "at most " if phase.may_stop_early else ""
    *before, last = map(_tensor, phase.starts_from)
    changed = ", changed anew every epoch" if phase.changed_every_epoch else ""
    rows: dict[str, RenderableType] = {
        "trained": f"{phase.trained:,} of {phase.trained + phase.frozen:,} parameters",
        "optimizer": phase.optimizer,
        "lr": phase.lr,
        "starts from": Group(*before, last + changed),
        "epochs": f"{at_most}{phase.epochs:,}, {phase.steps:,} steps",
        "each epoch": f"{_arithmetic(phase.multiply_adds_per_epoch)}, {_about(phase.seconds_per_epoch)}",
        "time": f"{at_most}{_about(phase.seconds)}",
    }
    title = f"phase {number}"
    return _block(title if phase.name == title else f"{title}: {phase.name}", rows)


def _block(title: str, rows: Mapping[str, RenderableType]) -> Table:
    made = Table.grid("", "", padding=(0, 1, 0, 1))
    made.title, made.title_justify, made.title_style = title, "left", "bold"
    for name, value in rows.items():
        made.add_row(styled((name, "dim")), value)
    made.add_row()
    return made


def _expectation(forecast: Forecast) -> str:
    seconds = forecast.expected_seconds
    epochs = sum(phase.epochs for phase in forecast.phases)
    parts = {
        "for frozen layers once": seconds.passes,
        f"for {epochs:,} epochs": seconds.epochs,
        "for evaluation": seconds.evaluation,
    }
    by_part = ", ".join(f"{duration(part)} {what}" for what, part in parts.items() if part >= 1)
    return (
        f"{_about(seconds.all)} on this processor, if it is idle and the cache is empty"
        f"{f': {by_part}' if by_part else ''}; startup, decoding and fitting a linear probe are not included"
    )


def _views_advice(views: ViewsForecast, now: float) -> str:
    comparison = "would take" if views.seconds < now else "would not be faster: it would take"
    reason, remedy = "augment without views", f"views: {views.views}"
    if views.without:
        mixing = " and ".join(views.without)
        reason = f"{mixing} mix{'es' if len(views.without) == 1 else ''} the images of a batch, which cannot be kept"
        remedy = f"{remedy} without {mixing}" if views.views else f"a run without {mixing}"
    return (
        f"{reason}: every epoch starts from the decoded images; "
        f"{remedy} {comparison} {_about(views.seconds)} instead of {duration(now)}"
    )


def _tensor(tensor: KeptTensor) -> str:
    shape = " x ".join(map(str, tensor.shape))
    return f"{tensor.layer or 'decoded image'} ({shape}, {_size(tensor.bytes_per_image)} per image)"


def _arithmetic(multiply_adds: int) -> str:
    return f"{_scaled(multiply_adds, ('', ' thousand', ' million', ' billion', ' trillion'))} multiply-adds"


def _size(size: int) -> str:
    return _scaled(size, (" bytes", " KB", " MB", " GB"))


def _scaled(value: float, units: Sequence[str]) -> str:
    """Returns a number in the largest of some units, each a thousand times the one before it, of which there is one."""
    power = 0
    while value >= 1000 and power < len(units) - 1:
        value, power = value / 1000, power + 1
    return f"{_figures(value)}{units[power]}"


def _figures(value: float) -> str:
    """Returns a number with two figures, or without decimals if it has more."""
    return f"{value:{',.0f' if value >= 10 else '.2g'}}"


def _about(seconds: float) -> str:
    return f"about {duration(seconds)}" if seconds >= 1 else "less than 1 s"


def duration(seconds: float) -> str:
    """Returns a time as a person says it, such as ``12 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{_figures(seconds / 3600)} h"
