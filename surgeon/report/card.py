"""A model card in the form that model hubs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from surgeon.report.parts import open_template
from surgeon.report.tables import averages_text

if TYPE_CHECKING:
    from surgeon.recipe.plan import Plan
    from surgeon.results.run import RunResult
    from surgeon.results.use import Calibration, Interval


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
    rendered = open_template("card.md.j2", escape=False).render(
        name=plan.name,
        description=plan.description,
        backbone=plan.network.name,
        weights=plan.backbone.weights,
        cut=plan.backbone.cut,
        head=_head(plan.recipe["head"]),
        parameters=sum(row.trainable + row.fixed for row in plan.network.rows),
        size=plan.data.image_size,
        classes=plan.classes,
        source=plan.data.source.name,
        phases=phases,
        versions=[f"{name} {version}" for name, version in result.versions.items()],
        result=result,
        evaluation=result.evaluation,
        averages=averages_text(result.evaluation) if result.evaluation else None,
        interval=intervals.get("accuracy"),
        calibration=calibration,
        recipe=recipe,
    )
    return str(rendered)


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}, {len(names)} layers"


def _head(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    named = []
    for layer in layers:
        ((kind, parameters),) = layer.items()
        told = {name: parameters[name] for name in ("units", "activation", "rate") if parameters.get(name) is not None}
        named.append(" ".join([kind.replace("_", " "), *map(str, told.values())]))
    return named
