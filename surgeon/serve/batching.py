"""Images of requests that come at the same time go through the network together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Classify = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]


def one_at_a_time(classify: Classify) -> Classify:
    """Returns a function that waits while another thread uses it, since not every runtime bears two."""
    lock = threading.Lock()

    def guarded(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with lock:
            return classify(pixels)

    return guarded


class Batcher:
    """Gathers what waits while the network is busy, and gives it the whole at once.

    A single request is not kept waiting for others: it goes as soon as the network is free.
    """

    def __init__(self, classify: Classify, most: int) -> None:
        """Begins without work.

        Args:
            classify: From pixels of shape (n, height, width, 3) to probabilities of shape (n, classes).
            most: How many images go through the network at once.
        """
        self._classify = classify
        self._most = most
        self._waiting: asyncio.Queue[tuple[NDArray[np.uint8], asyncio.Future[NDArray[np.float32]]]] = asyncio.Queue()

    async def classify(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the probabilities of one image of shape (height, width, 3)."""
        answer: asyncio.Future[NDArray[np.float32]] = asyncio.get_running_loop().create_future()
        await self._waiting.put((pixels, answer))
        return await answer

    async def work(self) -> None:
        """Classifies what waits until it is cancelled."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._most and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._answer(batch)

    async def _answer(self, batch: list[tuple[NDArray[np.uint8], asyncio.Future[Any]]]) -> None:
        try:
            rows = await asyncio.to_thread(self._classify, np.stack([pixels for pixels, _ in batch]))
        except Exception as error:  # whatever it is, those who wait must hear of it
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), row in zip(batch, rows, strict=True):
            if not answer.done():  # a client that left has cancelled its own
                answer.set_result(row)
