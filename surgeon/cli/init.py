"""``surgeon init``: a recipe fit for some images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgeon.catalogue.sources.listing import left_out_lines
from surgeon.cli.output import print_text, show_progress
from surgeon.errors import UsageError
from surgeon.recipe.document import parse_document
from surgeon.recipe.space import seconds_of
from surgeon.report.terminal import Terminal

if TYPE_CHECKING:
    from surgeon.data.survey import Survey


def command(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|FILE",
            help="Class folders of images, a CSV file of their paths and labels, a ZIP archive or a Parquet file.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The recipe's file; by default NAME.yaml in the current folder.", show_default=False),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Measure where to cut, what to train and the learning rate, within a time such as `10min`.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Draft a recipe that runs within two minutes here.")] = False,
) -> None:
    """Look at images and write a commented recipe that suits them."""
    from surgeon.data.draft import draft_recipe
    from surgeon.data.survey import survey_images

    if not images.exists():
        raise UsageError(f"{images} does not exist", "give a folder with one folder of images per class, or a file")
    name = images.stem if images.is_file() else images.resolve().name
    target = out or Path(f"{name}.yaml")
    if target.exists():
        raise UsageError(f"{target} already exists", "give another file with --out")
    seconds = None if measure is None else seconds_of(measure)
    if measure is not None and seconds is None:
        raise UsageError(f"--measure {measure} is not a duration", "give one such as 10min, 90s or 1h")
    if quick and measure is not None:
        raise UsageError("--quick and --measure cannot be combined", "give only one of them")
    survey = survey_images(images)
    if quick:
        from surgeon.planning.quick import draft_quick_recipe

        draft, reason = show_progress(draft_quick_recipe(survey, target), Terminal(stderr=True))
        print_text(reason)
    else:
        draft = draft_recipe(survey, target)
    target.write_text(draft if seconds is None else _measured(survey, target, draft, seconds), encoding="utf-8")
    found = f"{survey.images} images of {len(survey.classes)} classes"
    quoted = shlex.quote(str(target))
    print_text(f"{target}: {found}; next: surgeon check {quoted}, then surgeon run {quoted}")
    print_text(*left_out_lines(survey.left_out))
    if survey.bad:
        print_text(f"some images cannot be decoded; `surgeon check {quoted}` names them")


def _measured(survey: Survey, target: Path, draft: str, seconds: float) -> str:
    """Returns a recipe whose open choices were measured, beginning with the drafted one."""
    from surgeon.data.draft import draft_recipe
    from surgeon.report.progress import ProgressDisplay
    from surgeon.runs.sweep_folder import new_sweep_folder
    from surgeon.searches import measure_choices

    folder = new_sweep_folder(target.stem)
    with ProgressDisplay(Terminal(stderr=True)) as display:
        choices = measure_choices(parse_document(draft, target), folder, seconds, display.show)
    print_text(f"`surgeon report {shlex.quote(str(folder))}` shows what was tried")
    return draft_recipe(survey, target, choices)
