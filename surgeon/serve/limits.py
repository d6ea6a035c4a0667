"""What strangers may ask of the service, and how what is full is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException

_PART_BYTES = 2048  # for the headers of a part of a form, and the edge before it


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        images: In one request.
        image_bytes: Of one encoded image.
        batch: Images that go through the network at once.
        megapixels: Of one decoded image.
        seconds: That a request may take to arrive, and again to be answered.
    """

    images: int
    image_bytes: int
    batch: int
    megapixels: float = 50
    seconds: float = 30

    @property
    def request_bytes(self) -> int:
        """Of a whole request, with some room for the form around its images."""
        return self.images * (self.image_bytes + _PART_BYTES) + _PART_BYTES

    @property
    def upload_bytes(self) -> int:
        """Of all requests together that are not decoded yet."""
        return 2 * self.request_bytes

    @property
    def images_at_work(self) -> int:
        """Of all requests together that wait to be decoded or classified."""
        return 8 * max(self.images, self.batch)


class BusyError(HTTPException):
    """Too much is asked for at once: 503, and the client may come again."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail, headers={"Retry-After": "1"})


class Places:
    """A number of places that requests take and give back; who finds too few is told to come again."""

    def __init__(self, count: int, what: str) -> None:
        """Begins with all places free.

        Args:
            count: How many there are.
            what: What the refused are told.
        """
        self._free = count
        self._what = what

    @contextmanager
    def taken(self, count: int = 1) -> Iterator[None]:
        """Holds places while it is entered as a context.

        Raises:
            BusyError: If there are not as many left.
        """
        if count > self._free:
            raise BusyError(self._what)
        self._free -= count
        try:
            yield
        finally:
            self._free += count
