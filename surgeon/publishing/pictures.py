"""What the pages of runs show of a plan and of its images."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from surgeon.data.dataset import in_threads, list_images
from surgeon.data.images import look_at
from surgeon.errors import BadImageError
from surgeon.planning.frontier import phase_frontiers
from surgeon.planning.modes import layer_states
from surgeon.report.parts import Phase
from surgeon.results.events import Progress

if TYPE_CHECKING:
    from surgeon.catalogue.sources.listing import LabelledImage
    from surgeon.recipe.plan import Plan
    from surgeon.results.events import Event

_SIDE = 144  # pixels of a thumbnail


def look_at_phases(plan: Plan) -> list[Phase]:
    """Returns what each phase does with each layer."""
    return [
        Phase(phase.name, layer_states(plan.network, phase), phase_frontiers(plan, number)[0].layers)
        for number, phase in enumerate(plan.phases, start=1)
    ]


def draw_thumbnails(
    plan: Plan, files: Sequence[str]
) -> Generator[Event, None, dict[str, tuple[LabelledImage, Image.Image]]]:
    """Returns images of a plan's source by their names, each with itself in small; what cannot be shown is left out."""
    listing = yield from list_images(plan.data)
    images = {image.name: image for image in listing.images}
    there = [images[file] for file in files if file in images]
    drawn: list[Image.Image | None] = []
    for thumbnails in in_threads(_thumbnail, there):
        drawn += thumbnails
        yield Progress("draw the images", len(drawn), len(there), "images")
    return {image.name: (image, small) for image, small in zip(there, drawn, strict=True) if small is not None}


def _thumbnail(image: LabelledImage) -> Image.Image | None:
    try:
        return square(look_at(image.read(), 2 * _SIDE).picture)
    except (BadImageError, OSError):  # it was changed since, or cannot be read any more
        return None


def square(picture: Image.Image) -> Image.Image:
    """Returns the middle of an image as a thumbnail."""
    return ImageOps.fit(picture, (_SIDE, _SIDE))
