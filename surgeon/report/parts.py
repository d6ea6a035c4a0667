"""What pages are made of: templates, pictures inside the page, the drawing of a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import PIL.Image
from markupsafe import Markup
from matplotlib import colormaps

from surgeon.report.figures import curves_figure, plain_style
from surgeon.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image

    from surgeon.recipe.network import Network
    from surgeon.results.run import RunResult

INK = "#22313f"
_ROOM = 3_000_000  # characters of a page for its thumbnails: some 400 photographs
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "surgeon",
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "Helvetica", "Arial", "DejaVu Sans"],
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "0.6",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True, eq=False)
class Phase:
    """What a phase does with each layer, for the drawing of the network.

    Attributes:
        states: ``frozen`` or ``trained`` and so on, by the names of layers with weights.
        kept: The layers whose output was computed once per image: the frontier.
    """

    name: str
    states: Mapping[str, str]
    kept: Sequence[str]


def open_template(name: str, quote: Callable[[str], str] = printable) -> jinja2.Template:
    """Returns a template of this room; text that is filled in passes ``quote``, which makes it text in its language.

    It is escaped for HTML then, unless ``quote`` returns ``Markup``.
    """

    def finalize(value: object) -> object:
        return quote(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).get_template(name)


def draw_phase(network: Network, phase: Phase) -> dict[str, Any]:
    """Returns a phase as a row of cells, one per layer."""
    cells = [
        {
            "state": phase.states.get(row.name, "plain").split(",")[0],
            "kept": row.name in phase.kept,
            "is_head": row.index > network.cut,
            "title": f"{row.index} {row.name} ({row.kind}), {' x '.join(map(str, row.shape))}"
            + (f", {phase.states[row.name]}" if row.name in phase.states else "")
            + (", computed once per image" if row.name in phase.kept else ""),
        }
        for row in network.rows
    ]
    return {"name": phase.name, "cells": cells, "kept": ", ".join(phase.kept) or "the decoded image"}


def draw_history(result: RunResult) -> str:
    """Returns the curves of a run as the address of a picture that is part of the page."""
    return draw_chart(curves_figure, result)


def draw_chart(draw: Callable[[Any], Figure], shown: Any) -> str:
    """Returns what ``draw`` makes of ``shown`` as the address of a picture that is part of the page.

    The browser writes its text, so names need no font of this machine.
    """
    buffer = io.BytesIO()
    with plain_style("", _STYLE):
        draw(shown).savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _data("svg+xml", buffer.getvalue())


def embed_picture(image: Image) -> str:
    """Returns an image as the address of a picture that is part of the page."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=75, optimize=True)
    return _data("jpeg", buffer.getvalue())


def embed_thumbnails(images: Iterable[Image]) -> list[str]:
    """Returns the addresses of images as pictures that are part of the page, of as many as it has room for."""
    addresses: list[str] = []
    room = _ROOM
    for address in map(embed_picture, images):
        room -= len(address)
        if room < 0:
            break
        addresses.append(address)
    return addresses


def embed_matrix(parts: NDArray[np.float64]) -> str:
    """Returns a matrix of numbers from 0 to 1 as the address of a picture, a dot each: the darker, the more."""
    shades = np.round(255 * np.sqrt(parts)).astype(np.uint8)  # the root, so that a few images of a class are seen
    palette = np.round(255 * colormaps["Blues"](np.arange(256))[:, :3]).astype(np.uint8)
    picture = PIL.Image.fromarray(shades).convert("P")
    picture.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return _data("png", buffer.getvalue())


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
