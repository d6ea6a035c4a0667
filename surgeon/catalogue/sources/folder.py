"""Class folders of images, or splits above them."""

from __future__ import annotations

from pathlib import Path

from surgeon.catalogue.entry import Parameters, path
from surgeon.catalogue.sources.listing import (
    LabelledImage,
    Listing,
    SourceSpec,
    complete_listing,
    readable_name,
    unreadable,
)
from surgeon.catalogue.sources.split_names import SPLIT_SPELLINGS
from surgeon.catalogue.sources.walk import is_passed_over, walk_images
from surgeon.errors import SurgeonError


def _read(parameters: Parameters, paths: tuple[Path, ...]) -> Listing:
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
                name = readable_name(file.relative_to(root).as_posix())
                images.append(LabelledImage(name, readable_name(folders[class_depth]), split, file))
            else:
                ignored += 1
    except OSError as error:
        raise unreadable(root, error) from error
    return complete_listing(images, ignored, root, "put the images of each class into a folder of its own")


def _classes(parameters: Parameters) -> tuple[str, ...] | None:
    root = Path(parameters["path"])
    try:
        folders = _image_folders(root)
        if _has_split_folders(root):
            folders = [inner for folder in folders for inner in _image_folders(folder)]
    except (OSError, ValueError, SurgeonError):
        return None  # what is wrong is said when the images are read
    return tuple(sorted({readable_name(folder.name) for folder in folders})) or None


def _has_splits(parameters: Parameters) -> bool:
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
        if inner.is_dir() and not is_passed_over(inner) and any(is_image for _, is_image in walk_images(inner))
    ]


SPEC = SourceSpec(
    name="folder",
    summary="Class folders of images, or train/, validation/ and test/ above them.",
    parameters={"path": path("The folder that holds the class folders or the splits.")},
    required=("path",),
    shorthand="path",
    read=_read,
    classes=_classes,
    splits=_has_splits,
)
