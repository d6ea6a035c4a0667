"""Class folders, or splits above them, that are not on this machine's disk: in an archive or in object storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from surgeon.catalogue.entry import Parameters
from surgeon.catalogue.sources.folder import class_depth
from surgeon.catalogue.sources.listing import LabelledImage, Listing, complete_listing, readable_name
from surgeon.catalogue.sources.patterned import with_splits
from surgeon.catalogue.sources.split_names import split_called
from surgeon.catalogue.sources.walk import IMAGE_SUFFIXES, STRAY, UNREAD, is_passed_over
from surgeon.errors import SurgeonError
from surgeon.formats import OTHER_SUFFIXES

Content = Callable[..., bytes]


def list_tree(
    root: str | Path,
    files: Iterable[tuple[PurePosixPath, Content]],
    parameters: Parameters,
    begins_as_an_image: Callable[[Content], bool] = lambda content: False,
) -> Listing:
    """Lists photographs by the folders that they are in; a single folder with all others in it says nothing.

    Args:
        root: What they are in, for messages.
        files: All files in it by their paths, with what reads them.
        parameters: Of the source: ``splits`` and ``split_pattern`` count.
        begins_as_an_image: Looks at a file whose name does not tell.

    Raises:
        SurgeonError: If the folders could be splits or classes, or two photographs have one name.
    """
    photographs: list[tuple[PurePosixPath, Content]] = []
    left_out: dict[str, list[str]] = {}
    ignored = 0
    for inner, content in files:
        suffix = inner.suffix.lower()
        if any(map(is_passed_over, inner.parts)):
            ignored += 1
        elif suffix in OTHER_SUFFIXES:
            left_out.setdefault(UNREAD, []).append(readable_name(str(inner)))
        elif suffix in IMAGE_SUFFIXES or begins_as_an_image(content):
            photographs.append((inner, content))
        else:
            ignored += 1
    top = _common_folders([inner for inner, _ in photographs])
    depth = _depth(root, [inner.parts[top:-1] for inner, _ in photographs], parameters)
    images = []
    for inner, content in photographs:
        folders, name = inner.parts[top:-1], readable_name(str(inner))
        if len(folders) > depth:
            split = split_called(folders[0]) if depth else None
            images.append(LabelledImage(name, readable_name(folders[depth]), split, data=content))
        else:
            left_out.setdefault(STRAY, []).append(name)
    return with_splits(complete_listing(images, ignored, left_out), parameters.get("split_pattern"))


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
