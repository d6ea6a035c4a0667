"""``surgeon explain``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from surgeon.cli.image_files import ImagesArgument, image_files
from surgeon.cli.output import BundleArgument, TrustOption, file_name, print_text, unused
from surgeon.errors import UsageError, did_you_mean
from surgeon.report.terminal import Terminal, styled


class Method(enum.StrEnum):
    """How a class is traced back to the image."""

    grad_cam = "grad-cam"
    occlusion = "occlusion"


def command(
    run: BundleArgument,
    paths: ImagesArgument,
    label: Annotated[
        str | None, typer.Option("--class", help="The class to explain; by default the likeliest.", show_default=False)
    ] = None,
    method: Annotated[
        Method, typer.Option(help="`occlusion` uses only the network's outputs and takes longer.")
    ] = Method.grad_cam,
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("explanations"),
    trust: TrustOption = False,
) -> None:
    """Show where in images a network sees a class: one PNG per image, with a heat map over it.

    Images that cannot be read are reported, and the exit code is then 1.
    """
    from surgeon.data.images import decode_image, fit_image
    from surgeon.errors import BadImageError
    from surgeon.evaluation.rejection import read_answers
    from surgeon.formats import read_image
    from surgeon.inference.classify import open_classifier
    from surgeon.inference.explaining import build_explainer
    from surgeon.recipe.bundle import read_bundle

    classes = read_bundle(run).classes
    files = image_files(paths)
    if label is not None and label not in classes:
        raise UsageError(f"{label!r} is not a class of {run}", did_you_mean(label, classes))
    bundle, classifier = open_classifier(run, trust=trust)
    explain = build_explainer(run, bundle, method.value, classifier)
    if explain.method != method.value:
        obstacle = "does not work with this network" if bundle.format == "run" else "needs a run, not an export"
        Terminal(stderr=True).show(f"{method.value} {obstacle}; using {explain.method} instead")
    out.mkdir(parents=True, exist_ok=True)
    numbers: dict[Path, int] = {}
    bad = 0
    for path in files:
        try:
            picture = decode_image(read_image(path))
        except BadImageError as error:
            print_text(styled(f"{path}: ", (error.reason, "red")))
            bad += 1
            continue
        pixels = fit_image(picture, bundle.resizing)
        (row,), _ = read_answers(classifier(pixels[None]), bundle.rejection)
        number = int(row.argmax()) if label is None else classes.index(label)
        target = unused(out / f"{path.stem}-{file_name(classes[number])}.png", numbers)
        explain.over(picture, pixels, number, bundle.resizing).save(target)
        print_text(f"{path}: {classes[number]} {row[number]:.3f}, {target}")
    if bad:
        raise typer.Exit(1)
