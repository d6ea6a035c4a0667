"""A model card in the form that model hubs read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from surgeon.report.markup import render
from surgeon.report.results import acceptance_lines, averages_text
from surgeon.text import printable

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan
    from surgeon.results.run import RunResult
    from surgeon.results.use import Calibration, Interval

# What Markdown, in GitHub's form, may obey: anywhere, at the start of a line, within words.
_SYNTAX = re.compile(
    r"[\\`*\[\]<|~$]|^[-+#>]|^\d+[.)](?=\s|$)|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.|&(?=#?\w+;)", re.IGNORECASE
)


def render_card(
    plan: Plan, result: RunResult, recipe: str, calibration: Calibration | None, intervals: Mapping[str, Interval]
) -> str:
    """Returns a run's model card: Markdown behind a block of metadata."""
    phases = [
        {
            "name": phase.name,
            "trained": _span(phase.trainable),
            "epochs": done.epochs,
            "optimizer": phase.optimizer.name,
            "seconds": done.seconds,
        }
        for phase, done in zip(plan.phases, result.phases, strict=True)
    ]
    return render(
        "card.md.j2",
        _markdown,
        name=plan.name,
        description=plan.description,
        backbone=plan.network.name,
        weights=plan.backbone.weights,
        cut=plan.backbone.cut,
        head=_head(plan.recipe["head"], len(plan.classes)),
        parameters=sum(row.trainable + row.fixed for row in plan.network.rows),
        size=plan.data.image_size,
        classes=plan.classes,
        source=PurePath(str(plan.data.source.parameters.get("path", plan.data.source.name))).name,
        phases=phases,
        versions=[f"{name} {version}" for name, version in result.versions.items()],
        result=result,
        evaluation=result.evaluation,
        averages=averages_text(result.evaluation) if result.evaluation else None,
        acceptance=acceptance_lines(result.acceptance) if result.acceptance else [],
        rejects=plan.reject is not None,
        interval=intervals.get("accuracy"),
        calibration=calibration,
        recipe=_code(recipe),
    )


def _markdown(text: str) -> Markup:
    """Returns text from outside as Markdown that shows it: no table, link, tag or formula begins in it.

    Spaces at its ends are left out. They show nowhere, and at the start of a line they are syntax.
    """
    return Markup(_SYNTAX.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", printable(text).strip()))


def _code(text: str) -> Markup:
    """Returns a recipe as a block of code that no line of it ends."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup("\n".join([f"{fence}yaml", *map(printable, text.splitlines()), fence]))


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}, {len(names)} layers"


def _head(layers: Sequence[Mapping[str, Any]], classes: int) -> list[str]:
    named = []
    for layer in layers:
        ((kind, parameters),) = layer.items()
        shown = {name: parameters[name] for name in ("units", "activation", "rate") if parameters.get(name) is not None}
        words = (str(classes if value == "classes" else value) for value in shown.values())
        named.append(" ".join([kind.replace("_", " "), *words]))
    return named
