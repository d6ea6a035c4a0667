"""``surgeon plan``."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

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
from surgeon.recipe.compiler import compile_recipe
from surgeon.recipe.pace import check_pace
from surgeon.recipe.text import leaves, spell_path
from surgeon.report.terminal import Terminal
from surgeon.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from surgeon.data.dataset import Index
    from surgeon.recipe.plan import Plan


def command(recipe: RecipeArgument, overrides: SetOption = None, output_format: FormatOption = Format.text) -> None:
    """Show what a run would do, without training: values and their origins, images, steps, time, what is kept."""
    from surgeon.data.dataset import index_images
    from surgeon.data.splits import size_notes
    from surgeon.planning.forecast import forecast_run
    from surgeon.planning.machine import measure_machine

    plan = compile_recipe(recipe, overrides or ())
    index = show_progress(index_images(plan.data, looks=False), Terminal(stderr=True))
    check_pace(plan, index.splits.count("train"))
    remarks = [*left_out_lines(index.left_out), *size_notes(index, plan.data), *_uncompared(index), *_folds(plan)]
    scalars = {spell_path(path): value for path, value in leaves(plan.recipe)}
    # An entry without parameters shows as its name alone.
    values = {path: (scalars.get(path, ""), origin) for path, origin in plan.origins.items()}
    downloads = _downloads(plan)
    forecast = forecast_run(plan, index, measure_machine())
    if output_format is Format.json:
        origins = {path: {"value": value, "origin": origin} for path, (value, origin) in values.items()}
        print_json(
            {
                "recipe": plan.recipe,
                "values": origins,
                "downloads": downloads,
                "images": index.counts(),
                "left_out": index.left_out,
                "uncompared": index.uncompared,
                **dataclasses.asdict(forecast),
            }
        )
        return
    from surgeon.report.forecast import forecast_text
    from surgeon.report.recipe import counts_table, values_table

    print_text(values_table(values), counts_table(index.counts(), index.classes), *forecast_text(forecast))
    print_text(*remarks)
    if downloads:
        print_text(f"to be downloaded, unless in a mirror or the cache: {', '.join(downloads)}")


def _uncompared(index: Index) -> Iterator[str]:
    """Yields what the splits above do not know yet: a plan decodes no image."""
    from surgeon.data.looks import LOOK_SECONDS

    if index.uncompared:
        count, seconds = counted(index.uncompared, "image"), math.ceil(index.uncompared * LOOK_SECONDS)
        yield (
            f"near copies share a split (data.split.group); to find them, a run first decodes {count} not compared yet "
            f"(about {seconds:,} s); the splits may then differ slightly from these counts"
        )


def _folds(plan: Plan) -> Iterator[str]:
    """Yields what is not in the figures above: of a cross-validation they are those of one run."""
    if plan.data.folds is not None and plan.data.fold is None:
        yield (f"this is the first of {plan.data.folds} runs (data.folds); the later ones reuse what it keeps on disk")


def _downloads(plan: Plan) -> list[str]:
    """Returns where the images and the weights come from, if it is not this machine."""
    urls = [download.url for download in SOURCES[plan.data.source.name].downloads(plan.data.source.parameters)]
    if plan.backbone.weights == "imagenet" and (url := BACKBONES[str(plan.backbone.name)].downloads_from):
        urls.append(url)
    return urls
