"""``surgeon predict``."""

from __future__ import annotations

import dataclasses
import enum
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surgeon.catalogue.sources.walk import walk
from surgeon.cli.output import TrustOption, file_name, print_json, print_rows, print_text, show_progress, unused
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
    run: Annotated[
        Path, typer.Argument(metavar="RUN|BUNDLE", help="A run, or what was exported of one.", show_default=False)
    ],
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Files, folders, globs, or `-` for a list on standard input.", show_default=False
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes are told of an image.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option(help="Copy the images into a folder for each class in this new one.", show_default=False),
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="With --out: symbolic links instead of copies.")] = False,
    output_format: Annotated[PredictFormat, typer.Option("--format", help="For people or for programs.")] = (
        PredictFormat.text
    ),
    trust: TrustOption = False,
) -> None:
    """Tell the classes of images. Those that cannot be read are named, and the exit code is 1."""
    if link and out is None:
        raise UsageError("--link says how images get into --out, which is missing", "give --out a new folder")
    if out is not None and out.exists():
        raise UsageError(f"{out} exists", "give another --out")
    files = list(dict.fromkeys(_files(paths)))
    if not files:
        raise UsageError("there is no image in what was given", "give files, folders or globs of images")
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


def _files(paths: Sequence[str]) -> Iterator[Path]:
    """Yields the images that paths stand for.

    Raises:
        UsageError: If one of them is nothing.
    """
    for text in paths:
        if text == "-":
            for line in sys.stdin.read().split("\n"):
                path = line.removesuffix("\r")
                # One that has gone since is named like any other bad image.
                yield from (_matching(path) or [Path(path)]) if path else []
            continue
        found = _matching(text)
        if not found:
            raise UsageError(f"there is no {text}", "give a file, a folder or a glob that matches something")
        yield from found


def _matching(text: str) -> list[Path]:
    """Returns the files that a path, a folder or a glob stands for; of a folder those left out, too, to be named."""
    # A pattern may begin with a root or a drive, which Path.glob takes none of.
    found = [text] if os.path.lexists(text) else sorted(glob(text, recursive=True))  # noqa: PTH207
    files: list[Path] = []
    for path in map(Path, found):
        files += [one.path for one in walk(path) if one.is_image or one.reason] if os.path.isdir(path) else [path]  # noqa: PTH112
    return files


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
