"""Where labelled images come from: folders, tables, and two data sets that everybody can get."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from surgeon.catalogue.entry import Entry, Parameters, Schema, integer, path, table
from surgeon.errors import Location, SurgeonError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

SPLITS = ("train", "validation", "test")
SPLIT_SPELLINGS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
# TIFF, HEIC and AVIF cannot be decoded, but a photograph that is left out must be named and not just counted.
IMAGE_SUFFIX = re.compile(r"\.(jpe|jpe?g|jfif|png|gif|bmp|dib|webp|tiff?|hei[cf]|avif)", re.IGNORECASE)
FLOWERS = (
    "daffodil",
    "snowdrop",
    "lilyvalley",
    "bluebell",
    "crocus",
    "iris",
    "tigerlily",
    "tulip",
    "fritillary",
    "sunflower",
    "daisy",
    "coltsfoot",
    "dandelion",
    "cowslip",
    "buttercup",
    "windflower",
    "pansy",
)
FLOWERS_PER_CLASS = 80


@dataclass(frozen=True)
class LabelledImage:
    """One image as its source names it.

    Attributes:
        name: Its path relative to the source's root, with ``/`` between the parts.
        label: The name of its class.
        split: ``train``, ``validation`` or ``test`` if the source says so, else None.
        path: The file that holds it, or None if ``data`` does.
        data: The encoded image itself, for a source without files.
    """

    name: str
    label: str
    split: str | None
    path: Path | None = None
    data: bytes | None = None

    def read(self) -> bytes:
        """Returns the encoded image.

        Raises:
            SurgeonError: If its file cannot be read.
        """
        if self.path is None:
            return self.data or b""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise _unreadable(self.path, error) from error


@dataclass(frozen=True)
class Listing:
    """All images of a source.

    Attributes:
        images: Sorted by name.
        classes: Names of the classes; a class's number is its position.
        ignored: How many hidden files (a hidden folder counts once) and non-images were passed over.
    """

    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    ignored: int


@dataclass(frozen=True)
class Download:
    """A file on the internet, with its place in a mirror.

    Attributes:
        hash: ``sha256:`` or ``md5:`` and the hexadecimal digest.
        mirror: Where a mirror holds it, relative to the mirror's root; for an archive, its contents' folder.
        archive: Whether it is a tar file that has to be unpacked.
    """

    url: str
    hash: str
    mirror: str
    archive: bool


@dataclass(frozen=True, kw_only=True)
class SourceSpec(Entry):
    """A kind of source.

    Attributes:
        read: Lists the images, given the parameters and the local paths of ``downloads`` in their order.
        classes: The class names, sorted, told without reading images; None if the source cannot be read.
        splits: Whether the source may say itself which image is in which split; never raises.
        downloads: What has to be fetched before ``read``.
    """

    read: Callable[[Parameters, tuple[Path, ...]], Listing]
    classes: Callable[[Parameters], tuple[str, ...] | None]
    splits: Callable[[Parameters], bool]
    downloads: Callable[[Parameters], tuple[Download, ...]] = lambda parameters: ()


def _read_folder(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    root = Path(parameters["path"])
    images = []
    ignored = 0
    try:
        if not root.is_dir():
            found = "is a file" if root.exists() else "does not exist"
            raise SurgeonError(f"the folder {root} {found}", "give data.source.folder a folder of class folders")
        class_depth = 1 if _has_split_folders(root) else 0
        for file, is_image in walk_images(root):
            *folders, _ = file.relative_to(root).parts
            if is_image and len(folders) > class_depth:
                split = SPLIT_SPELLINGS[folders[0].casefold()] if class_depth else None
                name = _text(file.relative_to(root).as_posix())
                images.append(LabelledImage(name, _text(folders[class_depth]), split, file))
            else:
                ignored += 1
    except OSError as error:
        raise _unreadable(root, error) from error
    return _listing(images, ignored, root, "put the images of each class into a folder of its own")


def _folder_classes(parameters: Parameters) -> tuple[str, ...] | None:
    root = Path(parameters["path"])
    try:
        folders = _image_folders(root)
        if _has_split_folders(root):
            folders = [inner for folder in folders for inner in _image_folders(folder)]
    except (OSError, ValueError, SurgeonError):
        return None  # what is wrong is said when the images are read
    return tuple(sorted({_text(folder.name) for folder in folders})) or None


def _folder_splits(parameters: Parameters) -> bool:
    try:
        return _has_split_folders(Path(parameters["path"]))
    except (OSError, ValueError, SurgeonError):
        return False


def _has_split_folders(root: Path) -> bool:
    """Tells whether the folders in ``root`` are splits and not classes.

    Raises:
        SurgeonError: If they could be either.
    """
    names = [folder.name for folder in _image_folders(root)]
    splits = [name for name in names if name.casefold() in SPLIT_SPELLINGS]
    others = [name for name in names if name.casefold() not in SPLIT_SPELLINGS]
    if len(splits) > 1 and others:
        raise SurgeonError(
            f"{root} holds splits ({', '.join(splits)}) beside {others[0]!r}, so its folders are neither all "
            "splits nor all classes",
            f"move {others[0]!r} out of {root}, or into a split as one of its classes",
        )
    return bool(splits) and not others  # a single `train` beside others is a class of that name


def _image_folders(folder: Path) -> list[Path]:
    """Returns the visible folders in ``folder`` that hold an image at any depth."""
    return [
        inner
        for inner in sorted(folder.iterdir())
        if inner.is_dir() and not _passed_over(inner) and any(is_image for _, is_image in walk_images(inner))
    ]


def walk_images(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, bool]]:
    """Yields what lies below ``folder`` at any depth, sorted, and whether it is to be taken for an image."""
    real = folder.resolve()
    if real in above:
        return  # a symbolic link that leads back to a folder above it
    for entry in sorted(folder.iterdir()):
        if _passed_over(entry):
            yield entry, False
        elif entry.is_dir():
            yield from walk_images(entry, above | {real})
        else:
            yield entry, entry.is_file() and _is_image(entry)


def _passed_over(entry: Path) -> bool:
    return entry.name.startswith(".") or entry.name in ("__MACOSX", "Thumbs.db")


def _is_image(file: Path) -> bool:
    """Tells an image by its suffix or, failing that, by its first bytes."""
    if IMAGE_SUFFIX.fullmatch(file.suffix):
        return True
    with file.open("rb") as opened:
        start = opened.read(12)
    return (
        start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"))
        or (start.startswith(b"RIFF") and start.endswith(b"WEBP"))
        # The letters BM alone begin many a text; a bitmap has four reserved bytes, which are zero.
        or (start.startswith(b"BM") and start[6:10] == bytes(4))
    )


def _text(name: str) -> str:
    """Returns a file name as text that can be written and that sorts alike on every machine."""
    readable = os.fsencode(name).decode("utf-8", "replace")
    return unicodedata.normalize("NFC", readable)


def _read_csv(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    file = Path(parameters["path"])
    columns = [parameters["image_column"], parameters["label_column"]]
    if parameters.get("split_column") is not None:
        columns.append(parameters["split_column"])
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            _check_columns(file, columns, reader.fieldnames or ())
            images = [
                _csv_image(Location(str(file), reader.line_num), [row[column] for column in columns]) for row in reader
            ]
    except OSError as error:
        raise _unreadable(file, error) from error
    except (ValueError, csv.Error) as error:
        raise SurgeonError(f"{file} is not a CSV file in UTF-8: {error}", "save it as CSV UTF-8") from error
    return _listing(images, 0, file, "add a row for each image")


def _csv_classes(parameters: Parameters) -> tuple[str, ...] | None:
    column = parameters["label_column"]
    try:
        with Path(parameters["path"]).open(encoding="utf-8-sig", newline="") as opened:
            labels = {_text((row[column] or "").strip()) for row in csv.DictReader(opened)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError):
        return None  # what is wrong is said when the images are read
    return tuple(sorted(labels)) or None


def _check_columns(file: Path, columns: Iterable[str], found: Iterable[str]) -> None:
    listed = ", ".join(map(repr, found)) or "missing"
    for column in columns:
        if column not in found:
            raise SurgeonError(
                f"{file} has no column {column!r}; its columns are {listed}",
                did_you_mean(column, found) or "name its columns with image_column, label_column and split_column",
            )


def _csv_image(location: Location, cells: list[str | None]) -> LabelledImage:
    """Returns the image of a row, given its path, its label and, where there is such a column, its split."""
    image, label, *split = ((cell or "").strip() for cell in cells)
    if not image or not label:
        raise SurgeonError(f"{location}: a row without a path or without a label", "fill it in or remove it")
    path = Path(location.file).parent / image
    if not path.is_file():
        raise SurgeonError(f"{location}: there is no file {path}", "paths are relative to the CSV file")
    return LabelledImage(
        _text(Path(image).as_posix()), _text(label), _csv_split(location, split[0]) if split else None, path
    )


def _csv_split(location: Location, found: str) -> str:
    if found.casefold() not in SPLIT_SPELLINGS:
        raise SurgeonError(
            f"{location}: unknown split {found!r}; expected train, validation or test",
            did_you_mean(found, SPLITS) or "correct it, or leave out split_column",
        )
    return SPLIT_SPELLINGS[found.casefold()]


def _listing(images: list[LabelledImage], ignored: int, where: Path, hint: str) -> Listing:
    """Returns the images sorted by name.

    Raises:
        SurgeonError: If there are none, or only one class of them.
    """
    counts = Counter(image.label for image in images)
    if not images:
        raise SurgeonError(f"no labelled images in {where}; other files: {ignored}", hint)
    if len(counts) == 1:
        label, count = counts.popitem()
        raise SurgeonError(f"{where} has only one class, {label!r} ({count}); expected two or more", hint)
    return Listing(tuple(sorted(images, key=lambda image: image.name)), tuple(sorted(counts)), ignored)


def _unreadable(path: Path, error: OSError) -> SurgeonError:
    return SurgeonError(f"cannot read {error.filename or path}: {error.strerror}", "check the path and its permissions")


def _flowers17_downloads(parameters: Parameters) -> tuple[Download, ...]:
    url = "https://www.robots.ox.ac.uk/~vgg/data/flowers/17/"
    archive = Download(
        url + "17flowers.tgz",
        "sha256:fe38a60f8b4a95e657551247d3e7d799a3fafcdbc595be504b12839967823d70",
        "datasets/flowers17",
        archive=True,
    )
    splits = Download(
        url + "datasplits.mat",
        "md5:4828cddfd0d803c5abbdebcb1e148a1e",
        "datasets/flowers17/datasplits.mat",
        archive=False,
    )
    return (archive, splits) if parameters.get("official_split") else (archive,)


def _read_flowers17(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    official = parameters.get("official_split")
    splits = _official_split(paths[1], official) if official else {}
    files = {
        number: paths[0] / "jpg" / f"image_{number:04}.jpg" for number in range(1, len(FLOWERS) * FLOWERS_PER_CLASS + 1)
    }
    missing = [file for file in files.values() if not file.is_file()]
    if missing:
        raise SurgeonError(
            f"{len(missing)} of the {len(files)} images of Flowers-17 are missing, the first is {missing[0]}",
            f"remove {paths[0]} to have it fetched again, or complete it",
        )
    images = (
        LabelledImage(f"jpg/{file.name}", FLOWERS[(number - 1) // FLOWERS_PER_CLASS], splits.get(number), file)
        for number, file in files.items()
    )
    return Listing(tuple(images), FLOWERS, ignored=0)


def _official_split(file: Path, number: int) -> Mapping[int, str]:
    """Returns the split of each image by the image's number, which counts from 1."""
    from scipy.io import loadmat

    names = {f"trn{number}": "train", f"val{number}": "validation", f"tst{number}": "test"}
    try:
        matrices = loadmat(file, variable_names=list(names))
        return {int(image): split for name, split in names.items() for image in matrices[name].flat}
    except Exception as error:  # the reader of a format this loose fails in any way it likes
        raise SurgeonError(f"{file} does not hold the official splits of Flowers-17: {error}", "remove it") from error


def _read_digits(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = []
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True), start=1):
        png = io.BytesIO()
        grey = (pixels * (255 / 16)).round().astype("uint8")
        # Compressed bytes would differ between releases of zlib, and with them the digests and the splits.
        Image.fromarray(grey).save(png, "PNG", compress_level=0)
        images.append(LabelledImage(f"digit_{number:04}.png", str(label), None, data=png.getvalue()))
    return Listing(tuple(images), _digit_classes({}), ignored=0)


def _digit_classes(parameters: Parameters) -> tuple[str, ...]:
    return tuple("0123456789")


def _column(description: str, **default: str) -> Schema:
    return {"description": description, "type": "string", "minLength": 1, **default}


SOURCES: Mapping[str, SourceSpec] = table(
    SourceSpec(
        name="folder",
        summary="Class folders of images, or train/, validation/ and test/ above them.",
        parameters={"path": path("The folder that holds the class folders or the splits.")},
        required=("path",),
        shorthand="path",
        read=_read_folder,
        classes=_folder_classes,
        splits=_folder_splits,
    ),
    SourceSpec(
        name="csv",
        summary="A CSV file with a row for each image: its path, its label and, if you like, its split.",
        parameters={
            "path": path("The CSV file, in UTF-8; image paths in it are relative to it."),
            "image_column": _column("The column of image paths.", default="path"),
            "label_column": _column("The column of class names.", default="label"),
            "split_column": _column("The column that says train, validation or test."),
        },
        required=("path",),
        shorthand="path",
        read=_read_csv,
        classes=_csv_classes,
        splits=lambda parameters: "split_column" in parameters,
    ),
    SourceSpec(
        name="flowers17",
        summary="Oxford Flowers-17: 1,360 photographs, 17 classes of 80 (60 MB to download).",
        parameters={
            "official_split": integer(
                "Which of the three official splits (680 train, 340 validation, 340 test) to use instead of "
                "data.split.",
                minimum=1,
                maximum=3,
            )
        },
        read=_read_flowers17,
        classes=lambda parameters: FLOWERS,
        splits=lambda parameters: "official_split" in parameters,
        downloads=_flowers17_downloads,
    ),
    SourceSpec(
        name="digits",
        summary="Handwritten digits: 1,797 images of 8 by 8 pixels, 10 classes; they come with scikit-learn.",
        read=_read_digits,
        classes=_digit_classes,
        splits=lambda parameters: False,
    ),
)
