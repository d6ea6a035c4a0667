"""``surgeon check``: what is wrong with the images, said before the night."""

from __future__ import annotations

import dataclasses
import enum
import json
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgeon.cli.output import Format, FormatOption, SetOption, print_json, print_text, show_progress
from surgeon.errors import UsageError, require_modules
from surgeon.recipe.compiler import compile_recipe
from surgeon.report.terminal import Terminal
from surgeon.tensorflow import load_tensorflow

if TYPE_CHECKING:
    from PIL.Image import Image

    from surgeon.data.dataset import Index
    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event
    from surgeon.results.findings import Finding

# Of a folder without a recipe nothing is held out but what it holds out itself, and nothing is trained.
_FOLDER_OVERRIDES = ("data.split={test: 0, validation: 0}", "phases=[{trainable: head, lr: 0.001, epochs: 1}]")


class FailOn(enum.StrEnum):
    """From which severity on a finding makes the command fail."""

    error = "error"
    warning = "warning"
    never = "never"


def command(
    checked: Annotated[
        Path,
        typer.Argument(metavar="RECIPE|FOLDER", help="A recipe's file or a folder of images.", show_default=False),
    ],
    overrides: SetOption = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Find labels that are probably wrong; needs `network-surgeon[labels]`.")
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the images of the findings into a `.png` or `.html` file.", show_default=False
        ),
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="Exit with 1 if there is a finding of this severity or above.")
    ] = FailOn.error,
    output_format: FormatOption = Format.text,
) -> None:
    """Find what is wrong with the images: damaged, doubled, leaking between splits, labelled twice."""
    _check_options(labels, sheet)
    plan = _compile(checked, overrides or ())
    console = Terminal(stderr=True, quiet=output_format is Format.json)
    index, findings = show_progress(_find(plan, labels), console)
    if output_format is Format.json:
        records = [dataclasses.asdict(finding) for finding in findings]
        print_json(
            {"images": index.counts(), "ignored": index.ignored, "left_out": index.left_out, "findings": records}
        )
    else:
        from surgeon.report.sheet import findings_summary, findings_table

        if findings:
            print_text(findings_table(findings))
        print_text(findings_summary(findings, f"{len(index.images):,} images of {len(index.classes)} classes"))
    if sheet is not None:
        _draw(sheet, index, findings, checked.name)
    failing = {FailOn.error: ("error",), FailOn.warning: ("error", "warning"), FailOn.never: ()}[fail_on]
    if any(finding.severity in failing for finding in findings):
        raise typer.Exit(1)


def _check_options(labels: bool, sheet: Path | None) -> None:
    """Says what cannot be done before the long work."""
    if labels:
        require_modules("--labels", ("cleanlab",), "labels")
    if sheet is not None and sheet.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"cannot draw a sheet into {sheet}", "give --sheet a file that ends in .png or .html")
    if sheet is not None and sheet.exists():
        raise UsageError(f"{sheet} exists", "give another --sheet")


def _compile(checked: Path, overrides: Sequence[str]) -> Plan:
    """Compiles a recipe, or for a folder the one that ``surgeon init`` would write."""
    if not checked.is_dir():
        return compile_recipe(checked, overrides)
    from surgeon.data.draft import draft_recipe
    from surgeon.data.survey import survey_folder

    folder = checked.resolve()
    source = f"data.source.folder.path={json.dumps(str(folder))}"  # the drafted one is relative to what is gone soon
    with tempfile.TemporaryDirectory() as made:
        drafted = Path(made) / "check.yaml"
        drafted.write_text(draft_recipe(survey_folder(folder), drafted), encoding="utf-8")
        return compile_recipe(drafted, [source, *_FOLDER_OVERRIDES, *overrides])


def _find(plan: Plan, labels: bool) -> Generator[Event, None, tuple[Index, tuple[Finding, ...]]]:
    from surgeon.data.checks import by_severity, check_images
    from surgeon.data.dataset import index_images

    index = yield from index_images(plan.data)
    findings = yield from check_images(index, plan.data.image_size)
    if labels:
        findings += yield from _find_labels(plan, index)
    return index, by_severity(findings)


def _find_labels(plan: Plan, index: Index) -> Generator[Event, None, tuple[Finding, ...]]:
    from surgeon.data.dataset import decode_images
    from surgeon.features.frozen import FrozenFeatures, Setup
    from surgeon.features.label_issues import label_findings
    from surgeon.model.pipeline import build_pipeline
    from surgeon.model.surgery import build_network

    load_tensorflow()
    # Every image is asked for as it is, and those that cannot be read are named already.
    plan = dataclasses.replace(plan, views=0, data=dataclasses.replace(plan.data, on_bad_image="skip"))
    with ExitStack() as life:
        dataset = yield from decode_images(index, plan.data, plan.features, life)
        setup = Setup(plan, build_network(plan), build_pipeline(plan), dataset)
        return (yield from label_findings(FrozenFeatures(setup, life)))


def _draw(sheet: Path, index: Index, findings: Sequence[Finding], name: str) -> None:
    from surgeon.data.images import decode_image
    from surgeon.errors import BadImageError
    from surgeon.report.sheet import draw_sheet

    images = {image.name: image for image in index.images}

    def picture(name: str) -> Image | None:
        try:
            return decode_image(images[name].read())
        except BadImageError:
            return None

    draw_sheet(findings, picture, name, sheet)
