"""Images of requests that come at the same time go through the network together."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Classify = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]

_log = logging.getLogger(__name__)


class NetworkError(Exception):
    """The network raised, or what it gave is no answer; the text is fit for a client."""


def one_at_a_time(classify: Classify) -> Classify:
    """Returns a function that waits while another thread uses it, since not every runtime bears two."""
    lock = threading.Lock()

    def guarded(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with lock:
            return classify(pixels)

    return guarded


def checked(classify: Classify, classes: int) -> Classify:
    """Returns a function that gives a row of so many numbers for each image.

    The function raises a ``NetworkError`` if the network does not.
    """

    def asked(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            rows = np.asarray(classify(pixels), np.float32)
        except BaseException as error:
            # Whatever it is: a StopIteration, for one, cannot pass through a future, and those who wait would hang.
            _log.exception("the network failed")
            raise NetworkError("the network failed; the log of the service says why") from error
        if rows.shape != (len(pixels), classes):
            found = f"the network returned an array of shape {rows.shape}, expected ({len(pixels)}, {classes})"
            _log.error(found)
            raise NetworkError(found)
        return rows

    return asked


class Batcher:
    """Gathers what waits while the network is busy, and gives it the whole at once.

    A single request is not kept waiting for others: it goes as soon as the network is free. What a client that left
    was waiting for is not computed.
    """

    def __init__(self, classify: Classify, most: int, answers: int) -> None:
        """Begins without work.

        Args:
            classify: From pixels of shape (n, height, width, 3) to answers of shape (n, answers).
            most: How many images go through the network at once.
            answers: How many numbers an answer has.
        """
        self._classify = checked(classify, answers)
        self._most = most
        self._waiting: asyncio.Queue[tuple[NDArray[np.uint8], asyncio.Future[NDArray[np.float32]]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "network")
        self._began: float | None = None
        self.failed = False

    @property
    def busy_seconds(self) -> float:
        """How long the network has been computing without an answer."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    async def classify(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the answer to one image of shape (height, width, 3).

        Raises:
            NetworkError: If there are none.
        """
        answer: asyncio.Future[NDArray[np.float32]] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((pixels, answer))
        row = await answer
        if not np.isfinite(row).all():
            raise NetworkError("the network returned numbers that are not finite for this image")
        return row

    async def work(self) -> None:
        """Classifies what waits until it is cancelled."""
        while True:
            waiting = [await self._waiting.get()]
            while len(waiting) < self._most and not self._waiting.empty():
                waiting.append(self._waiting.get_nowait())
            batch = [(pixels, answer) for pixels, answer in waiting if not answer.done()]
            if batch:
                await self._answer([pixels for pixels, _ in batch], [answer for _, answer in batch])

    async def _answer(
        self, images: list[NDArray[np.uint8]], answers: list[asyncio.Future[NDArray[np.float32]]]
    ) -> None:
        self._began = time.monotonic()
        try:
            rows = await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._classify(np.stack(images))
            )
            for answer, row in zip(answers, rows, strict=True):
                if not answer.done():  # a client that left has cancelled its own
                    answer.set_result(row)
            self.failed = False
        except Exception as error:  # whatever it is, those who wait must hear of it, and the next ones be served
            self.failed = True
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
        finally:
            self._began = None
