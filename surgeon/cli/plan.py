"""``surgeon plan``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from surgeon.catalogue.sources import SOURCES
from surgeon.cli.output import Format, FormatOption, RecipeArgument, SetOption, open_console, print_json, print_text
from surgeon.model.frontier import epoch_multiply_adds, phase_frontiers
from surgeon.recipe.compiler import compile_recipe

if TYPE_CHECKING:
    from surgeon.data.dataset import Index
    from surgeon.recipe.plan import Choice, PhasePlan, Plan


def command(recipe: RecipeArgument, overrides: SetOption = None, output_format: FormatOption = Format.text) -> None:
    """Show what a run would do, without training: values and their origins, images, steps."""
    plan = compile_recipe(recipe, overrides or ())
    index = _index(plan)
    values = {path: (_at(plan.recipe, path), origin) for path, origin in plan.origins.items()}
    downloads = [download.url for download in SOURCES[plan.data.source.name].downloads(plan.data.source.parameters)]
    phases = _phases(plan, index.counts().get("train", {}))
    if output_format is Format.json:
        origins = {path: {"value": value, "origin": origin} for path, (value, origin) in values.items()}
        print_json(
            {
                "recipe": plan.recipe,
                "values": origins,
                "downloads": downloads,
                "images": index.counts(),
                "phases": phases,
            }
        )
        return
    from surgeon.report.tables import counts_table, phases_table, values_table

    print_text(values_table(values), counts_table(index.counts(), index.classes), phases_table(phases))
    if downloads:
        print_text(f"images come from {', '.join(downloads)}, unless a mirror or the cache has them")


def _index(plan: Plan) -> Index:
    from surgeon.data.dataset import index_images
    from surgeon.report.progress import ProgressDisplay

    events = index_images(plan.data)
    with ProgressDisplay(open_console(stderr=True)) as display:
        while True:
            try:
                display.show(next(events))
            except StopIteration as finished:
                return finished.value  # type: ignore[no-any-return]


def _phases(plan: Plan, train: Mapping[str, int]) -> list[dict[str, Any]]:
    images = sum(train.values())
    steps = math.ceil(images / plan.data.batch_size)
    total = sum(row.trainable + row.fixed for row in plan.network.rows)

    def record(number: int, phase: PhasePlan) -> dict[str, Any]:
        trained = sum(row.trainable for row in plan.network.rows if row.name in phase.trainable)
        frontier, _ = phase_frontiers(plan, number)
        return {
            "name": phase.name,
            "optimizer": phase.optimizer.name,
            "lr": _spell(phase.lr),
            "trained": trained,
            "frozen": total - trained,
            "epochs": phase.epochs,
            "steps": steps * phase.epochs,
            "kept": list(frontier.layers) or ["decoded image"],
            "kept_bytes_an_image": frontier.bytes,
            "multiply_adds_once": frontier.once * images,
            "multiply_adds_an_epoch": epoch_multiply_adds(plan.network, phase.trainable, frontier) * images,
        }

    return [record(number, phase) for number, phase in enumerate(plan.phases, start=1)]


def _spell(schedule: Choice) -> str:
    if schedule.name == "constant":
        return f"{schedule.parameters['value']:g}"
    return f"{schedule.name} {yaml.safe_dump(dict(schedule.parameters), default_flow_style=True, width=200).strip()}"


def _at(values: Any, path: str) -> Any:
    """Returns the value at a spelled path; an entry without parameters shows as its name alone."""
    for part in path.replace("[", ".[").split("."):
        values = values[int(part[1:-1])] if part.startswith("[") else values[part]
    return "" if values == {} else values
