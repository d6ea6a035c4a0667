"""``surgeon plan``."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import yaml

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.sources import SOURCES
from surgeon.catalogue.sources.listing import left_out_lines
from surgeon.cli.output import (
    Format,
    FormatOption,
    RecipeArgument,
    SetOption,
    print_json,
    print_text,
    show_progress,
)
from surgeon.planning.processor import bfloat16_note
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.pace import check_pace
from surgeon.report.terminal import Terminal

if TYPE_CHECKING:
    from surgeon.data.dataset import Index
    from surgeon.planning.forecast import Forecast, PassForecast, PhaseForecast
    from surgeon.planning.frontier import Frontier
    from surgeon.planning.machine import Machine
    from surgeon.recipe.plan import Choice, PhasePlan, Plan

_VIEWS = 4  # that are suggested where none are kept


def command(recipe: RecipeArgument, overrides: SetOption = None, output_format: FormatOption = Format.text) -> None:
    """Show what a run would do, without training: values and their origins, images, steps, time, what is kept."""
    from surgeon.data.dataset import index_images

    plan = compile_recipe(recipe, overrides or ())
    index = show_progress(index_images(plan.data), Terminal(stderr=True))
    check_pace(plan, index.splits.count("train"))
    left_out = left_out_lines(index.left_out)
    values = {path: (_at(plan.recipe, path), origin) for path, origin in plan.origins.items()}
    downloads = _downloads(plan)
    forecast = _forecast(plan, index)
    if output_format is Format.json:
        origins = {path: {"value": value, "origin": origin} for path, (value, origin) in values.items()}
        print_json(
            {
                "recipe": plan.recipe,
                "values": origins,
                "downloads": downloads,
                "images": index.counts(),
                "left_out": index.left_out,
                **forecast,
            }
        )
        return
    from surgeon.report.tables import counts_table, forecast_text, values_table

    print_text(values_table(values), counts_table(index.counts(), index.classes), *forecast_text(forecast))
    print_text(*left_out)
    if downloads:
        print_text(f"downloaded, unless a mirror or a cache has it: {', '.join(downloads)}")


def _downloads(plan: Plan) -> list[str]:
    """Returns where the images and the weights come from, if it is not this machine."""
    urls = [download.url for download in SOURCES[plan.data.source.name].downloads(plan.data.source.parameters)]
    if plan.backbone.weights == "imagenet" and (url := BACKBONES[str(plan.backbone.name)].downloads_from):
        urls.append(url)
    return urls


def _forecast(plan: Plan, index: Index) -> dict[str, Any]:
    """Returns the JSON form of what the run will take on this machine, and of what might be done about it."""
    from surgeon.planning.forecast import forecast_run
    from surgeon.planning.machine import measure_machine

    machine = measure_machine()
    forecast = forecast_run(plan, index, machine)
    pairs = zip(plan.phases, forecast.phases, strict=True)
    with_views = None
    if plan.augment and not plan.views and plan.features != "off":
        with_views = forecast_run(dataclasses.replace(plan, views=_VIEWS), index, machine)
    return {
        "passes": [_pass_record(plan, done) for done in forecast.passes],
        "phases": [_phase_record(plan, index, phase, expected) for phase, expected in pairs],
        "expected_seconds": {
            "passes": forecast.pass_seconds,
            "epochs": forecast.epochs_seconds,
            "evaluation": forecast.evaluation_seconds,
            "all": forecast.seconds,
        },
        "with_views": with_views and {"views": _VIEWS, "seconds": with_views.seconds},
        "notes": _notes(plan, forecast, machine),
    }


def _pass_record(plan: Plan, done: PassForecast) -> dict[str, Any]:
    return {
        "before_phase": done.before,
        "kept": [tensor for frontier in done.frontiers for tensor in _tensors(plan, frontier)],
        "images": done.images,
        "views": plan.views,
        "bytes": done.size,
        "dtype": plan.features_dtype,
        "place": dataclasses.asdict(done.place),
        "multiply_adds": done.multiply_adds,
        "seconds": done.seconds,
    }


def _phase_record(plan: Plan, index: Index, phase: PhasePlan, expected: PhaseForecast) -> dict[str, Any]:
    trained = sum(row.trainable for row in plan.network.rows if row.name in phase.trainable)
    return {
        "name": phase.name,
        "optimizer": phase.optimizer.name,
        "lr": _spell(phase.lr),
        "trained": trained,
        "frozen": sum(row.trainable + row.fixed for row in plan.network.rows) - trained,
        "epochs": phase.epochs,
        "may_stop_early": phase.until is not None and phase.until.patience < phase.epochs,
        "steps": math.ceil(index.splits.count("train") / plan.data.batch_size) * phase.epochs,
        "starts_from": _tensors(plan, expected.frontier),
        "changed_every_epoch": bool(plan.augment) and not plan.views,
        "multiply_adds_an_epoch": expected.multiply_adds,
        "seconds_an_epoch": expected.training_seconds + expected.validation_seconds,
        "seconds": expected.seconds,
    }


def _tensors(plan: Plan, frontier: Frontier) -> list[dict[str, Any]]:
    """Returns the tensors that are kept of an image; one without a layer is the decoded image."""
    from surgeon.store.shelf import TensorSpec

    shapes = {row.name: row.shape for row in plan.network.rows}
    specs = {name: TensorSpec(shapes[name], plan.features_dtype) for name in frontier.layers}
    image = {None: TensorSpec((*plan.data.image_size, 3), "uint8")}
    return [
        {"layer": layer, "shape": spec.shape, "bytes_an_image": spec.size} for layer, spec in (specs or image).items()
    ]


def _notes(plan: Plan, forecast: Forecast, machine: Machine) -> list[str]:
    notes = [bfloat16_note()] if plan.precision == "bfloat16" else []
    needed = sum(done.size for done in forecast.passes if done.place.kind == "memory")
    if needed > machine.memory:
        notes.append(f"{needed / 1e9:,.1f} GB are kept in memory, but only {machine.memory / 1e9:,.1f} GB are free")
    return [note for note in notes if note]


def _spell(schedule: Choice) -> str:
    if schedule.name == "constant":
        return f"{schedule.parameters['value']:g}"
    return f"{schedule.name} {yaml.safe_dump(dict(schedule.parameters), default_flow_style=True, width=200).strip()}"


def _at(values: Any, path: str) -> Any:
    """Returns the value at a spelled path; an entry without parameters shows as its name alone."""
    for part in path.replace("[", ".[").split("."):
        values = values[int(part[1:-1])] if part.startswith("[") else values[part]
    return "" if values == {} else values
