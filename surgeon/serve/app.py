"""The service: images in, classes and probabilities out."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

import surgeon
from surgeon.serve.batching import Classify, NetworkError
from surgeon.serve.edge import Hosts, guard
from surgeon.serve.limits import Limits
from surgeon.serve.pages import render_docs, render_page
from surgeon.serve.work import Explain, Work
from surgeon.text import printable

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from surgeon.recipe.bundle import Bundle


class ClassProbability(BaseModel):
    """A class and how probable it is, from 0 to 1."""

    name: str
    probability: float


class ImagePrediction(BaseModel):
    """The classes of an image, the likeliest first, and why it is rejected, if it is."""

    file: str
    classes: list[ClassProbability]
    unknown: str | None


class Answer(BaseModel):
    """One prediction per image, in the order of the request."""

    predictions: list[ImagePrediction]


class Refusal(BaseModel):
    """What is wrong, in words or for each of several things."""

    detail: str | list[dict[str, Any]]


_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Refusal, "description": description}
    for code, description in (
        (400, "The form is malformed."),
        (408, "The request took too long to arrive."),
        (413, "Too many images or too many bytes."),
        (415, "Not a form."),
        (422, "An unknown option or field, no image, or some that cannot be decoded, each with the reason."),
        (500, "The network failed."),
        (503, "The service is overloaded; try again after `Retry-After` seconds."),
    )
}


class _Json(JSONResponse):
    """JSON in ASCII, which any class name goes into: one of a folder's that is not UTF-8, too."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode("ascii")


def build_app(
    bundle: Bundle,
    classify: Classify,
    explain: Explain,
    limits: Limits,
    hosts: Hosts,
    samples: Mapping[str, bytes],
) -> ASGIApp:
    """Returns the service of a network.

    Args:
        bundle: What the network is.
        classify: Its function from pixels to probabilities.
        explain: From pixels of an image and a class number to a picture of where the network sees the class.
        limits: What a request may ask for.
        hosts: The names that the service answers to.
        samples: A small JPEG of a training image of each class that has one, for the page.
    """
    work = Work(bundle, classify, explain, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with work.going_on():
            yield

    app = FastAPI(
        title=printable(bundle.name),
        version=surgeon.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )

    @app.post(
        "/predict",
        response_model=Answer,
        response_description="A prediction per image, in the order of the form.",
        responses=_REFUSALS,
        openapi_extra=_form("files", several=True),
    )
    async def predict(request: Request, top: Annotated[int, Query(ge=1)] = 3) -> Response:
        """Classifies the images in a form's field `files` and returns the `top` most likely classes of each."""
        _check_options(request, ("top",))
        images = await work.classify(request, "files", limits.images)
        return _Json(
            {
                "predictions": [
                    {
                        "file": image.name,
                        "classes": [
                            {"name": bundle.classes[at], "probability": float(image.probabilities[at])}
                            for at in np.argsort(-image.probabilities)[:top]
                        ],
                        "unknown": image.unknown,
                    }
                    for image in images
                ]
            }
        )

    @app.post(
        "/explain",
        response_class=Response,
        response_description="The picture.",
        responses={**_REFUSALS, 200: {"content": {"image/png": {}}}},
        openapi_extra=_form("file", several=False),
    )
    async def explain_image(request: Request) -> Response:
        """Shows where the network sees the most likely class in the image of a form's field `file`, as a PNG."""
        _check_options(request, ())
        buffer = io.BytesIO()
        (await work.explain(request, "file")).save(buffer, "PNG")
        return Response(buffer.getvalue(), media_type="image/png")

    @app.get("/health", response_description="It is running.")
    async def health() -> dict[str, str]:
        """Reports that the service is running."""
        return {"status": "alive"}

    @app.get("/ready", response_description="It answers.", responses={503: _REFUSALS[503]})
    async def ready() -> Response:
        """Reports whether the network answers, and which classes it knows."""
        fault = await work.find_fault()
        if fault is not None:
            raise HTTPException(503, fault, headers={"Retry-After": "1"})
        about = {"name": bundle.name, "classes": bundle.classes, "image_size": bundle.image_size}
        return _Json({"status": "ready", **about})

    @app.exception_handler(NetworkError)
    async def network_failed(_: Request, error: NetworkError) -> Response:
        return _Json({"detail": str(error)}, 500)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        return _Json({"detail": "the service failed; its log says why"}, 500)

    _add_pages(app, samples)
    return guard(app, hosts, limits.request_bytes)


def _check_options(request: Request, known: Collection[str]) -> None:
    """Makes sure that nothing is asked for that would be ignored.

    Raises:
        HTTPException: If it is, 422.
    """
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        expected = f"expected {' or '.join(known)}" if known else "there are none"
        raise HTTPException(422, f"the URL has the unknown option {printable(unknown[0])!r}; {expected}")


def _add_pages(app: FastAPI, samples: Mapping[str, bytes]) -> None:
    rendered = render_page(samples)

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return rendered

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return render_docs(app.openapi())


def _form(field: str, *, several: bool) -> dict[str, Any]:
    """Returns how OpenAPI describes a form with images, which is read as it comes and thus not FastAPI's parameter."""
    image = {"type": "string", "format": "binary"}
    value = {"type": "array", "items": image} if several else image
    schema = {"type": "object", "properties": {field: value}, "required": [field]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
