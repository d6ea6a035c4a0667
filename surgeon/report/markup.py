"""Text in the languages of pages and cards, filled into the templates of ``templates/``: the one way to write either.

A page is a template that extends ``base.html.j2``, made of the macros in ``parts.html.j2``, whose looks are in
``style.css`` and whose behaviour is in ``page.js``. It is one file that needs no other: pictures are part of it.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup
from PIL import ImageOps

from surgeon.text import printable

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL = 144  # pixels of a side
_ROOM = 2_000_000  # characters of a page for its thumbnails: some 400 photographs


def render(template: str, quote: Callable[[str], str] = printable, **shown: Any) -> str:
    """Returns a template filled in.

    Args:
        template: A file of ``templates/``.
        quote: Makes text from outside text in the language of the template. What it returns is escaped for HTML unless
            it is ``Markup``.
        **shown: What the template shows.
    """
    return _environment(quote).get_template(template).render(shown)


@functools.cache
def _environment(quote: Callable[[str], str]) -> jinja2.Environment:
    def finalize(value: object) -> object:
        return quote(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def embed(kind: str, content: bytes) -> str:
    """Returns a picture, such as of the kind ``png`` or ``svg+xml``, as an address that needs no file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def embed_picture(image: Image, quality: int = 75) -> str:
    """Returns an image as an address that needs no file."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True)
    return embed("jpeg", buffer.getvalue())


def embed_thumbnails(images: Iterable[Image]) -> list[str]:
    """Returns the addresses of as many images, in small, as a page has room for."""
    addresses: list[str] = []
    room = _ROOM
    for image in images:
        address = embed_picture(ImageOps.contain(image, (THUMBNAIL, THUMBNAIL)), quality=60)
        room -= len(address)
        if room < 0:
            break
        addresses.append(address)
    return addresses
