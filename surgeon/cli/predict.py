"""``surgeon predict``."""

from __future__ import annotations

import dataclasses
import enum
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgeon.cli.image_files import ImagesArgument, image_files
from surgeon.cli.output import (
    BundleArgument,
    TrustOption,
    file_name,
    print_json,
    print_rows,
    print_text,
    show_progress,
    unused,
)
from surgeon.errors import UsageError
from surgeon.formats import read_image
from surgeon.recipe.bundle import UNKNOWN
from surgeon.report.terminal import Terminal

if TYPE_CHECKING:
    from surgeon.results.use import Prediction


class PredictFormat(enum.StrEnum):
    """How predictions are printed."""

    text = "text"
    csv = "csv"
    jsonl = "jsonl"


@dataclass(frozen=True)
class _Image:
    path: Path

    def read(self) -> bytes:
        return read_image(self.path)


def command(
    run: BundleArgument,
    paths: ImagesArgument,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to print per image.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option(help="Copy the images into one folder per class inside this new folder.", show_default=False),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="With --out: make symbolic links instead of copies.")] = False,
    output_format: Annotated[PredictFormat, typer.Option("--format", help="Output format.")] = (PredictFormat.text),
    trust: TrustOption = False,
) -> None:
    """Classify images. Images that cannot be read are reported, and the exit code is then 1."""
    if link and out is None:
        raise UsageError("--link needs --out, which is missing", "give a new folder with --out")
    if out is not None and out.exists():
        raise UsageError(f"{out} already exists", "give a new folder with --out")
    from surgeon.recipe.bundle import read_bundle

    read_bundle(run)  # said before the images are looked for
    files = image_files(paths)
    from surgeon.evaluation.rejection import read_answers
    from surgeon.inference.classify import classify, open_classifier
    from surgeon.results.use import predictions_of

    bundle, classifier = open_classifier(run, len(files), trust=trust)
    console = Terminal(stderr=True)
    answers, bad = show_progress(classify(bundle, classifier, [_Image(path) for path in files]), console)
    probabilities, unknown = read_answers(answers, bundle.rejection)
    predictions = predictions_of(list(map(str, files)), bundle.classes, probabilities.tolist(), bad, unknown, top)
    _print(predictions, output_format)
    if out is not None:
        _sort(predictions, out, link=link)
    if bad:
        raise typer.Exit(1)


def _print(predictions: Sequence[Prediction], output_format: PredictFormat) -> None:
    if output_format is PredictFormat.text:
        from surgeon.report.use import predictions_table

        print_text(predictions_table(predictions))
    elif output_format is PredictFormat.jsonl:
        for prediction in predictions:
            print_json(dataclasses.asdict(prediction), indent=None)
    else:
        print_rows([("file", "class", "probability", "reason"), *_rows(predictions)])


def _rows(predictions: Sequence[Prediction]) -> Iterator[tuple[str, str, str, str]]:
    for prediction in predictions:
        if prediction.unknown is not None:
            yield prediction.file, UNKNOWN, "", prediction.unknown
            continue
        for name, probability in zip(prediction.classes, prediction.probabilities, strict=True):
            yield prediction.file, name, f"{probability:.6g}", ""
        if prediction.reason is not None:
            yield prediction.file, "", "", prediction.reason


def _sort(predictions: Sequence[Prediction], out: Path, *, link: bool) -> None:
    """Puts each image into the folder of its class, or of the unknown; files, and folders, of one name get a number."""
    numbers, folders = dict[Path, int](), dict[str, Path]()
    for prediction in predictions:
        if not prediction.classes:
            continue
        source = Path(prediction.file)
        name = prediction.classes[0] if prediction.unknown is None else UNKNOWN
        if name not in folders:
            folders[name] = unused(out / file_name(name), numbers)
            folders[name].mkdir(parents=True)
        target = unused(folders[name] / source.name, numbers)
        if link:
            target.symlink_to(source.absolute())
        else:
            shutil.copy2(source, target)
