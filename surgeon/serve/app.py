"""The service: images in, classes and probabilities out."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import FastAPI, File, HTTPException, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

import surgeon
from surgeon.data.images import load_image
from surgeon.errors import BadImageError
from surgeon.serve.batching import Batcher, Classify

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from surgeon.model.bundle import Bundle

Explain = Callable[["NDArray[np.uint8]", int], "Image"]


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        images: In one request.
        image_bytes: Of one encoded image.
        batch: Images that go through the network at once.
    """

    images: int
    image_bytes: int
    batch: int

    @property
    def request_bytes(self) -> int:
        """Of a whole request, with some room for the form around its images."""
        return self.images * (self.image_bytes + 2048)


class ClassProbability(BaseModel):
    """A class and how probable it is, from 0 to 1."""

    name: str
    probability: float


class ImagePrediction(BaseModel):
    """The classes of an image, the likeliest first."""

    file: str
    classes: list[ClassProbability]


class Answer(BaseModel):
    """An image each, in the order of the request."""

    predictions: list[ImagePrediction]


def build_app(bundle: Bundle, classify: Classify, explain: Explain, limits: Limits) -> FastAPI:
    """Returns the service of a network.

    Args:
        bundle: What the network is.
        classify: Its function from pixels to probabilities.
        explain: From pixels of an image and a class number to a picture of where the network sees the class.
        limits: What a request may ask for.
    """
    batcher = Batcher(classify, limits.batch)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        blank = np.zeros((1, *bundle.image_size, 3), np.uint8)
        await asyncio.to_thread(classify, blank)  # what is compiled at first use is compiled before anybody waits
        worker = asyncio.create_task(batcher.work())
        app.state.ready = True
        yield
        app.state.ready = False
        worker.cancel()

    app = FastAPI(title=bundle.name, version=surgeon.__version__, lifespan=life)
    app.state.ready = False
    app.middleware("http")(_limit_size(limits.request_bytes))

    @app.post("/predict")
    async def predict(files: Annotated[list[UploadFile], File()], top: int = 3) -> Answer:
        """Classifies the images of a form's fields `files`: JPEG, PNG, GIF, BMP or WebP."""
        images = await _read(files, bundle.image_size, limits)
        rows = await asyncio.gather(*(batcher.classify(pixels) for pixels in images))
        count = max(1, min(top, len(bundle.classes)))
        return Answer(
            predictions=[
                ImagePrediction(
                    file=file.filename or "",
                    classes=[
                        ClassProbability(name=bundle.classes[at], probability=float(row[at]))
                        for at in np.argsort(-row)[:count]
                    ],
                )
                for file, row in zip(files, rows, strict=True)
            ]
        )

    @app.post("/explain", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def explain_image(file: UploadFile) -> Response:
        """Shows where in an image the network sees the class that it finds likeliest, as a PNG."""
        (pixels,) = await _read([file], bundle.image_size, limits)
        row = await batcher.classify(pixels)
        picture = await asyncio.to_thread(explain, pixels, int(row.argmax()))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return Response(buffer.getvalue(), media_type="image/png")

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Tells that the service is alive."""
        return {"status": "alive"}

    @app.get("/ready")
    async def ready() -> dict[str, object]:
        """Tells that the network can be asked, and what it knows."""
        if not app.state.ready:
            raise HTTPException(503, "the network is still being loaded")
        return {"status": "ready", "name": bundle.name, "classes": bundle.classes, "image_size": bundle.image_size}

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return (Path(__file__).parent / "page.html").read_text(encoding="utf-8")

    return app


def _limit_size(most: int) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Returns a middleware that refuses a request which says that it is larger, or does not say how large it is."""

    async def refuse_larger(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        refusal = JSONResponse({"detail": f"a request has at most {most:,} bytes"}, 413)
        said = request.headers.get("content-length")
        if request.method == "POST" and said is None:
            return JSONResponse({"detail": "say how long the request is: Content-Length"}, 411)
        if said is not None and (not said.isdigit() or int(said) > most):
            return refusal
        return await go_on(request)

    return refuse_larger


async def _read(files: list[UploadFile], size: tuple[int, int], limits: Limits) -> list[NDArray[np.uint8]]:
    """Returns the pixels of uploaded images.

    Raises:
        HTTPException: 413 if they are too many or too large, 422 if some cannot be decoded; all are named.
    """
    if len(files) > limits.images:
        raise HTTPException(413, f"{len(files)} images, but a request has at most {limits.images}")
    contents = []
    for file in files:
        contents.append(await file.read(limits.image_bytes + 1))
        if len(contents[-1]) > limits.image_bytes:
            raise HTTPException(413, f"{file.filename}: an image has at most {limits.image_bytes:,} bytes")
    outcomes = await asyncio.gather(*(asyncio.to_thread(_decode, content, size) for content in contents))
    bad = {file.filename or "": found for file, found in zip(files, outcomes, strict=True) if isinstance(found, str)}
    if bad:
        raise HTTPException(422, [{"file": name, "reason": reason} for name, reason in bad.items()])
    return [found for found in outcomes if not isinstance(found, str)]


def _decode(content: bytes, size: tuple[int, int]) -> NDArray[np.uint8] | str:
    try:
        return load_image(content, size)
    except BadImageError as error:
        return error.reason
