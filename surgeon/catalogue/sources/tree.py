"""Class folders, or splits above them, that are not on this machine's disk: in an archive or in object storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from surgeon.catalogue.entry import Parameters
from surgeon.catalogue.sources.folder import class_depth
from surgeon.catalogue.sources.listing import LabelledImage, Listing, complete_listing, readable_name
from surgeon.catalogue.sources.patterned import with_splits
from surgeon.catalogue.sources.split_names import split_called
from surgeon.catalogue.sources.walk import STRAY
from surgeon.errors import SurgeonError

Content = Callable[[], bytes]


def list_tree(
    root: str | Path,
    photographs: Sequence[tuple[PurePosixPath, Content]],
    ignored: int,
    left_out: Mapping[str, Sequence[str]],
    parameters: Parameters,
) -> Listing:
    """Lists photographs by the folders that they are in; a single folder with all others in it says nothing.

    Args:
        root: What they are in, for messages.
        photographs: Their paths in it, with what reads them.
        ignored: How many other files there are.
        left_out: Names of photographs that are not among them, by reason.
        parameters: Of the source: ``splits`` and ``split_pattern`` count.

    Raises:
        SurgeonError: If the folders could be splits or classes, or two photographs have one name.
    """
    top = _common_folders([inner for inner, _ in photographs])
    depth = _depth(root, [inner.parts[top:-1] for inner, _ in photographs], parameters)
    images, stray = [], []
    for inner, content in photographs:
        folders, name = inner.parts[top:-1], readable_name(str(inner))
        if len(folders) > depth:
            split = split_called(folders[0]) if depth else None
            images.append(LabelledImage(name, readable_name(folders[depth]), split, data=content))
        else:
            stray.append(name)
    listing = complete_listing(images, ignored, {**left_out, **({STRAY: stray} if stray else {})})
    return with_splits(listing, parameters.get("split_pattern"))


def has_splits(read: Callable[[], Listing]) -> bool:
    """Tells whether the images of a source are in splits; False if it cannot be read, which is said when it is."""
    try:
        return any(image.split for image in read().images)
    except SurgeonError:
        return False


def _common_folders(images: Sequence[PurePosixPath]) -> int:
    """Returns how many folders there are above those of classes or splits."""
    shared = 0
    while True:
        deeper = [inner.parts for inner in images if len(inner.parts) > shared + 1]
        if len({parts[shared] for parts in deeper}) != 1 or not any(len(parts) > shared + 2 for parts in deeper):
            return shared
        shared += 1


def _depth(root: str | Path, folders: Sequence[tuple[str, ...]], parameters: Parameters) -> int:
    """Returns how deep the class folders are: 0, or 1 where the folders above them are splits."""
    below: dict[str, set[str]] = {}
    bare = {parts[0] for parts in folders if len(parts) == 1}  # with images of their own
    for first, *inner in filter(None, folders):
        below.setdefault(first, set()).update(inner[:1] if first not in bare else ())
    return class_depth(root, {name: frozenset(inner) for name, inner in below.items()}, parameters)
