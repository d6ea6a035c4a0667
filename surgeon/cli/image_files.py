"""What the paths on a command line stand for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Annotated

import typer

from surgeon.catalogue.sources.walk import walk
from surgeon.errors import UsageError

ImagesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...", help="Files, folders, globs, or `-` for a list on standard input.", show_default=False
    ),
]


def image_files(paths: Sequence[str]) -> list[Path]:
    """Returns the images that files, folders, globs and a list on standard input stand for, each once.

    Of a folder, those that its listing leaves out are among them, to be named like other bad images.

    Raises:
        UsageError: If one of the paths is nothing, or there is no image in any.
    """
    files = list(dict.fromkeys(_files(paths)))
    if not files:
        raise UsageError("no images found", "give files, folders or globs of images")
    return files


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
            raise UsageError(f"nothing matches {text}", "give an existing file or folder, or a glob that matches files")
        yield from found


def _matching(text: str) -> list[Path]:
    """Returns the files that a path, a folder or a glob stands for; of a folder those left out, too, to be named."""
    # A pattern may begin with a root or a drive, which Path.glob takes none of.
    found = [text] if os.path.lexists(text) else sorted(glob(text, recursive=True))  # noqa: PTH207
    files: list[Path] = []
    for path in map(Path, found):
        files += [one.path for one in walk(path) if one.is_image or one.reason] if os.path.isdir(path) else [path]  # noqa: PTH112
    return files
