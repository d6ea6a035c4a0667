"""Images of strangers, decoded in processes of their own, which can be ended."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import anyio.to_process

from surgeon.data.images import decode_image, fit_image
from surgeon.errors import BadImageError, LargeImageError
from surgeon.resizing import Resizing, Size
from surgeon.serve.limits import Places

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Decoded = tuple[NDArray[np.uint8], Size] | BadImageError

_PROCESSES = min(4, max(2, os.cpu_count() or 2))


class _Lane:
    """Processes for images up to a size; who comes first is served first, one image in a process."""

    def __init__(self, megapixels: float, seconds: float, processes: int, requests: int) -> None:
        self.megapixels = megapixels
        self.seconds = seconds  # for one image, in a process that runs already
        self.free = asyncio.Semaphore(processes)
        self.requests = Places(requests, "too many large images are waiting to be decoded; try again later")


class Decoder:
    """Decodes images so that large and slow ones keep nobody waiting but each other.

    An image that is too large for a lane, or not ready in its time, goes on to the next one.
    """

    def __init__(self, resizing: Resizing, megapixels: float) -> None:
        """Begins without processes.

        Args:
            resizing: How images are resized.
            megapixels: How large an image may be before that.
        """
        self._resizing = resizing
        self._lanes = (
            _Lane(min(2, megapixels), 3, _PROCESSES, sys.maxsize),
            _Lane(min(16, megapixels), 10, _PROCESSES // 2, 32),
            _Lane(megapixels, 20, 1, 4),
        )
        self._unbounded = anyio.CapacityLimiter(math.inf)  # the lanes bound the processes
        self._running: set[asyncio.Task[Decoded | None]] = set()

    async def start(self) -> None:
        """Starts the processes, so that no request waits for that."""
        os.environ.setdefault("PYTHONSAFEPATH", "1")  # or they would import what lies in the working directory
        await asyncio.gather(*(self._start_one() for _ in range(_PROCESSES + _PROCESSES // 2 + 1)))

    def stop(self) -> None:
        """Ends what is being decoded."""
        for task in self._running:
            task.cancel()

    async def decode(self, contents: Sequence[bytes]) -> list[Decoded]:
        """Returns RGB pixels of shape (height, width, 3) and the former height and width of each encoded image.

        For one that cannot be decoded, what is wrong with it.

        Raises:
            BusyError: If one is large or slow, and too many other requests have such images already.
        """
        at_once = asyncio.Semaphore(_PROCESSES)  # so that the images of other requests come between
        entered: set[_Lane] = set()
        with ExitStack() as held:

            async def decode_one(content: bytes) -> Decoded:
                async with at_once:
                    for lane in self._lanes:
                        if lane not in entered:
                            held.enter_context(lane.requests.taken())
                            entered.add(lane)
                        found = await self._decode(lane, content)
                        if found is not None and not isinstance(found, LargeImageError):
                            break
                return LargeImageError(f"takes more than {lane.seconds:g} s to decode") if found is None else found

            tasks = [asyncio.create_task(decode_one(content)) for content in contents]
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

    async def _decode(self, lane: _Lane, content: bytes) -> Decoded | None:
        """Decodes an image as soon as its lane is free; returns None if that takes longer than it may."""
        await lane.free.acquire()
        # A client that leaves does not end the process, since starting another costs more than most images do.
        task = asyncio.create_task(self._in_process(content, lane.megapixels, lane.seconds))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: lane.free.release())
        return await asyncio.shield(task)

    async def _in_process(self, content: bytes, megapixels: float, seconds: float) -> Decoded | None:
        try:
            with anyio.fail_after(seconds):
                return await self._run(content, megapixels)
        except TimeoutError:
            await self._start_one()  # in place of the one that was ended, so that its time is not that of an image
            return None
        except anyio.BrokenWorkerProcess:
            await self._start_one()
            return BadImageError("its decoder crashed")

    async def _start_one(self) -> None:
        await self._run(b"", 0)

    async def _run(self, content: bytes, megapixels: float) -> Decoded:
        return await anyio.to_process.run_sync(
            _load, content, self._resizing, megapixels, cancellable=True, limiter=self._unbounded
        )


def _load(content: bytes, resizing: Resizing, megapixels: float) -> Decoded:
    try:
        picture = decode_image(content, megapixels)
        return fit_image(picture, resizing), (picture.height, picture.width)
    except BadImageError as error:
        return error
