"""What the service has at work: requests on their way from a form to the probabilities of its images."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from fastapi import HTTPException, Request

from surgeon.data.images import undo_fit
from surgeon.errors import BadImageError, SurgeonError
from surgeon.evaluation.rejection import read_answers
from surgeon.inference.explaining import EXPLAINED_SIDE
from surgeon.serve.batching import Batcher, Classify, NetworkError, checked
from surgeon.serve.decoding import Decoder
from surgeon.serve.form import File, Uploads, read_files
from surgeon.serve.limits import BusyError, Limits, Places

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from surgeon.recipe.bundle import Bundle
    from surgeon.resizing import Size

Explain = Callable[["NDArray[np.uint8]", int], "Image"]
Result = TypeVar("Result")

_EXPLANATIONS = 8  # that wait, one being computed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Classified:
    """An image that the network has seen.

    Attributes:
        name: What the client calls its file, fit to be shown.
        pixels: RGB, of shape (height, width, 3), as the network takes them.
        size: Height and width that it had.
        probabilities: Of the classes.
        unknown: Why it is rejected, if it is.
    """

    name: str
    pixels: NDArray[np.uint8]
    size: Size
    probabilities: NDArray[np.float32]
    unknown: str | None


def warm_up(bundle: Bundle, classify: Classify) -> None:
    """Has the network classify a blank image: what is compiled at first use is compiled before anybody waits.

    Raises:
        SurgeonError: If it cannot.
    """
    try:
        checked(classify, len(bundle.answers))(_blank(bundle))
    except NetworkError as error:
        raise SurgeonError(f"the network cannot be served: {error}", "export it again") from error.__cause__


def _blank(bundle: Bundle) -> NDArray[np.uint8]:
    return np.zeros((1, *bundle.image_size, 3), np.uint8)


class Work:
    """The requests that are at work, each within its time and all within what there is room for."""

    def __init__(self, bundle: Bundle, classify: Classify, explain: Explain, limits: Limits) -> None:
        """Begins without requests.

        Args:
            bundle: What the network is.
            classify: Its function from pixels to probabilities.
            explain: From pixels of an image and a class number to a picture of where the network sees the class.
            limits: What a request may ask for.
        """
        self._rejection = bundle.rejection
        self._blank = _blank(bundle)[0]
        self._explain = explain
        self._resizing = bundle.resizing
        self._limits = limits
        self._batcher = Batcher(classify, limits.batch, len(bundle.answers))
        self._decoder = Decoder(bundle.resizing, limits.megapixels)
        self._uploads = Uploads(limits.upload_bytes)
        self._images = Places(limits.images_at_work, "too many images are being classified; try again later")
        self._explanations = Places(_EXPLANATIONS, "too many images are being explained; try again later")
        self._explaining = ThreadPoolExecutor(1, "explanations")
        self._worker: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Classifies while it is entered as a context."""
        self._worker = asyncio.create_task(self._batcher.work())
        await self._decoder.start()
        try:
            yield
        finally:
            self._worker.cancel()
            self._decoder.stop()

    async def find_fault(self) -> str | None:
        """Returns why no request can be answered, or None if nothing speaks against it."""
        if self._worker is None or self._worker.done():
            return "the worker that feeds the network has stopped: restart the service"
        if self._batcher.busy_seconds > self._limits.seconds:
            return f"the network has been computing for {self._batcher.busy_seconds:.0f} seconds"
        if self._batcher.failed:
            try:
                await asyncio.wait_for(self._batcher.classify(self._blank), self._limits.seconds)
            except (NetworkError, TimeoutError) as error:
                return str(error) or "the network does not answer"
        return None

    async def classify(self, request: Request, field: str, most: int) -> list[Classified]:
        """Returns what the network makes of the images in a form's field.

        Raises:
            HTTPException: If they are not to be had, 4xx, or there is too much at work, 503.
            NetworkError: If the network fails.
        """
        return await self._answer(request, field, most, self._classify)

    async def explain(self, request: Request, field: str) -> Image:
        """Returns where the network sees the likeliest class in the image of a form's field.

        Raises:
            HTTPException: As ``classify`` does.
            NetworkError: If the network fails.
        """

        async def explain_one(files: list[File]) -> Image:
            (image,) = await self._classify(files)
            with self._explanations.taken():
                number = int(image.probabilities.argmax())
                return await asyncio.get_running_loop().run_in_executor(self._explaining, self._draw, image, number)

        return await self._answer(request, field, 1, explain_one)

    async def _answer(
        self, request: Request, field: str, most: int, work: Callable[[list[File]], Coroutine[Any, Any, Result]]
    ) -> Result:
        with self._uploads.one() as upload:
            files = await read_files(request, field, most, self._limits, self._uploads, upload)
            with self._images.taken(len(files)):
                return await _while_there(request, work(files), self._limits.seconds)

    async def _classify(self, files: list[File]) -> list[Classified]:
        decoded = await self._decoder.decode([file.content for file in files])
        bad = [(file, found) for file, found in zip(files, decoded, strict=True) if isinstance(found, BadImageError)]
        if bad:
            raise HTTPException(422, [{"file": file.name, "reason": error.reason} for file, error in bad])
        images = [found for found in decoded if not isinstance(found, BadImageError)]
        rows = await asyncio.gather(*(self._batcher.classify(pixels) for pixels, _ in images))
        probabilities, unknown = read_answers(np.stack(rows), self._rejection)
        return [
            Classified(file.name, *image, row, unknown.get(at))
            for at, (file, image, row) in enumerate(zip(files, images, probabilities, strict=True))
        ]

    def _draw(self, image: Classified, number: int) -> Image:
        """Explains an image in the shape that it had; a large one is drawn smaller."""
        scale = min(1.0, EXPLAINED_SIDE / max(image.size))
        height, width = (max(1, round(scale * side)) for side in image.size)
        try:
            return undo_fit(self._explain(image.pixels, number), self._resizing, (height, width))
        except Exception as error:
            _log.exception("an explanation failed")
            raise NetworkError("the explanation failed; the log of the service says why") from error


async def _while_there(request: Request, work: Coroutine[Any, Any, Result], seconds: float) -> Result:
    """Awaits work, which ends when its client leaves or when it has taken too long.

    Raises:
        BusyError: If it has taken too long.
    """
    task = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((task, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if leaving.done():
            raise HTTPException(400, "the client disconnected")
        raise BusyError(f"not finished within {seconds:g} seconds; try again later")
    finally:
        task.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
