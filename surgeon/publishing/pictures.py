"""What the pages of runs show of a plan and of its images, and the images that a run keeps for that."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from surgeon.data.dataset import list_images
from surgeon.data.images import decode_image, fit_image, load_image, look_at, undo_fit
from surgeon.data.threads import BATCH, in_threads
from surgeon.errors import BadImageError, reason_of
from surgeon.inference.explaining import Explainer, build_explainer
from surgeon.planning.frontier import phase_frontiers
from surgeon.planning.modes import layer_states
from surgeon.recipe.bundle import read_bundle
from surgeon.report.drawing import Phase
from surgeon.report.markup import THUMBNAIL
from surgeon.report.page import TOLD
from surgeon.resizing import Resizing
from surgeon.results.events import Note, Progress
from surgeon.runs.folder import read_predictions, read_splits
from surgeon.runs.pictures import Picture, read_pictures, write_pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surgeon.catalogue.sources.listing import LabelledImage
    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event
    from surgeon.runs.folder import Predictions

SHOWN = 400  # test images on a page
_LARGE = 320  # pixels of a side of an image that a page tells something of
# Images of a split that an export is compared on, or fitted to.
_COMPARED = {"test": 100, "validation": 100, "train": 64}


def look_at_phases(plan: Plan) -> list[Phase]:
    """Returns what each phase does with each layer."""
    return [
        Phase(phase.name, layer_states(plan.network, phase), phase_frontiers(plan, number)[0].layers)
        for number, phase in enumerate(plan.phases, start=1)
    ]


def page_order(tested: Predictions) -> NDArray[np.intp]:
    """Returns the positions of the test images that a page shows: mistakes, then hits, the least sure ones first."""
    right = tested.predicted == tested.labels
    sureness = tested.probabilities.max(axis=1)
    return np.lexsort((np.where(right, sureness, -sureness), right))[:SHOWN]


def keep_pictures(plan: Plan, run: Path) -> Generator[Event, None, None]:
    """Writes into a run what its page shows of its images, and the pixels of what an export is compared on.

    Images that were changed since they were trained on, or cannot be read any more, are left out.
    """
    tested, splits = read_predictions(run), read_splits(run)
    shown = [tested.files[at] for at in page_order(tested)] if tested else []
    mistakes = _mistakes(tested) if tested else {}
    exact = {*mistakes, *(name for split in _COMPARED for name in _some_of(splits, split))}
    large = _told(tested) if tested else set[str]()
    pictures = yield from _look_at_all(plan, exact.union(shown), splits, exact, large)
    write_pictures(run, (yield from _explained(run, pictures, mistakes)))


def find_pictures(plan: Plan, run: Path, files: Collection[str]) -> Generator[Event, None, dict[str, Picture]]:
    """Returns images of a run by their names: those that it keeps or, if it keeps none, some where they were.

    Args:
        plan: The run's.
        run: Its folder.
        files: Which images are looked for where they were.

    Raises:
        SurgeonError: If it keeps none and its source is gone.
    """
    pictures: Sequence[Picture] | None = read_pictures(run)
    if pictures is None:
        pictures = yield from _look_at_all(plan, files, read_splits(run), exact=files)
    return {picture.name: picture for picture in pictures}


def explained_pictures(plan: Plan, run: Path, tested: Predictions) -> Generator[Event, None, dict[str, Picture]]:
    """Returns the images that a page shows, by their names, the first mistakes among them with an explanation."""
    pictures = yield from find_pictures(plan, run, [tested.files[at] for at in page_order(tested)])
    explained = yield from _explained(run, list(pictures.values()), _mistakes(tested))
    return {picture.name: picture for picture in explained}


def _mistakes(tested: Predictions) -> dict[str, int]:
    """Returns the mistakes that are explained, by their names, with the numbers of the classes they were taken for."""
    wrong = [int(at) for at in page_order(tested) if tested.predicted[at] != tested.labels[at]]
    return {tested.files[at]: int(tested.predicted[at]) for at in wrong[:TOLD]}


def _told(tested: Predictions) -> set[str]:
    """Returns the names of the images that a page tells something of: mistakes, and hits that were doubtful."""
    order = page_order(tested)
    right = tested.predicted[order] == tested.labels[order]
    return {tested.files[at] for at in (*order[~right][:TOLD], *order[right][:TOLD])}


def _explained(
    run: Path, pictures: Sequence[Picture], mistakes: Mapping[str, int]
) -> Generator[Event, None, list[Picture]]:
    """Returns images of which the mistakes have heat where the network saw what it took them for.

    Those that have it already keep it. A network may be such that this fails in any way; then the others have none.
    """
    explained: dict[str, Picture] = {}
    explain: Explainer | None = None
    wrong = [picture for picture in pictures if picture.name in mistakes and picture.pixels and not picture.explanation]
    try:
        bundle = read_bundle(run)
        for picture in wrong:
            explain = explain or build_explainer(run, bundle, "grad-cam")
            pixels = load_image(picture.labelled().read(), Resizing(bundle.image_size))
            heated = undo_fit(explain(pixels, mistakes[picture.name]), bundle.resizing, picture.size[::-1])
            small = _encoded(_square(heated, _LARGE), "JPEG", quality=90)
            explained[picture.name] = replace(picture, explanation=small, explained_by=explain.method)
            yield Progress("explain mistakes", len(explained), len(wrong), "images")
    except Exception as error:
        yield Note(f"no explanations: {reason_of(error)}")
    return [explained.get(picture.name, picture) for picture in pictures]


def opened(content: bytes | None) -> Image.Image | None:
    """Returns an image that a run keeps, if it can be shown."""
    try:
        return decode_image(content) if content else None
    except BadImageError:  # a damaged archive of a stranger
        return None


def _square(picture: Image.Image, side: int) -> Image.Image:
    """Returns the middle of an image."""
    return ImageOps.fit(picture, (side, side))


def _some_of(splits: Mapping[tuple[str, str], str], split: str) -> list[str]:
    """Returns the names of images of a split that lie evenly among all, and so in all classes of any size."""
    names = [name for (name, _), own in splits.items() if own == split]
    chosen = np.linspace(0, len(names) - 1, min(_COMPARED[split], len(names))).round().astype(int)
    return [names[at] for at in chosen]


def _look_at_all(
    plan: Plan,
    files: Collection[str],
    splits: Mapping[tuple[str, str], str],
    exact: Collection[str],
    large: Collection[str] = (),
) -> Generator[Event, None, list[Picture]]:
    """Looks at images of a source: at some exactly as the network does, at some for a large picture."""
    listing = yield from list_images(plan.data)
    wanted, names = [image for image in listing.images if image.name in set(files)], set(exact)

    def look(image: LabelledImage) -> Picture | None:
        side = _LARGE if image.name in large else THUMBNAIL
        return _look(image, splits, plan.data.resizing, side, is_exact=image.name in names)

    pictures: list[Picture] = []
    for done, batch in enumerate(in_threads(look, wanted), start=1):
        pictures += [picture for picture in batch if picture is not None]
        yield Progress("keep pictures", min(done * BATCH, len(wanted)), len(wanted), "images")
    return pictures


def _look(
    image: LabelledImage, splits: Mapping[tuple[str, str], str], resizing: Resizing, side: int, *, is_exact: bool
) -> Picture | None:
    try:
        data = image.read()
        split = splits.get((image.name, hashlib.sha256(data).hexdigest()))
        if split is None:  # it was changed since
            return None
        whole = decode_image(data) if is_exact else look_at(data, 2 * side).picture
    except (BadImageError, OSError):
        return None
    pixels = _encoded(Image.fromarray(fit_image(whole, resizing)), "PNG", compress_level=1) if is_exact else None
    small = _encoded(_square(whole, side), "JPEG", quality=90)
    return Picture(image.name, image.label, split, whole.size, small, pixels)


def _encoded(picture: Image.Image, form: str, **options: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()
