"""Files of a form, counted as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from surgeon.serve.limits import BusyError, Limits
from surgeon.text import counted, printable

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_LEAST_BYTES_PER_SECOND = 16_000  # a slower client has only the seconds that every request has
_TOO_MUCH = "too many uploads at once; try again later"


@dataclass(frozen=True)
class File:
    """A file of a form.

    Attributes:
        name: What the client calls it, fit to be shown.
        content: Its bytes.
    """

    name: str
    content: bytes


@dataclass(eq=False)
class Upload:
    """The body of a request, as far as it has arrived.

    Attributes:
        time: Ends the waiting for it.
        size: Its bytes so far.
        arriving: Whether more is to come.
        gave_way: Whether it was ended in favour of others.
    """

    time: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    size: int = 0
    arriving: bool = True
    gave_way: bool = False


class Uploads:
    """The bodies of all requests that are in memory.

    When they are too large together, the largest that is still arriving gives way: a few clients that send much, or
    slowly, do not shut out the others.
    """

    def __init__(self, most: int) -> None:
        """Begins with none.

        Args:
            most: Their bytes together.
        """
        self._most = most
        self._all: list[Upload] = []

    @contextmanager
    def one(self) -> Iterator[Upload]:
        """Counts the body of a request while it is entered as a context."""
        upload = Upload()
        self._all.append(upload)
        try:
            yield upload
        finally:
            self._all.remove(upload)

    def add(self, upload: Upload, size: int) -> None:
        """Counts bytes that have arrived.

        Raises:
            BusyError: If they are too many, and it is this upload that has to give way.
        """
        upload.size += size
        while sum(other.size for other in self._all if not other.gave_way) > self._most:
            largest = max((other for other in self._all if other.arriving and not other.gave_way), key=_size)
            largest.gave_way = True
            if largest is upload:
                raise BusyError(_TOO_MUCH)
            largest.time.cancel()


def _size(upload: Upload) -> int:
    return upload.size


async def read_files(
    request: Request, name: str, most: int, limits: Limits, uploads: Uploads, upload: Upload
) -> list[File]:
    """Returns the files of a form's field, which is read no further than to the first limit that it exceeds.

    Args:
        request: Its body is a form.
        name: That of the field.
        most: How many files there may be.
        limits: Of their bytes and of the time that they take.
        uploads: All that are in memory.
        upload: This one of them.

    Raises:
        HTTPException: If something is wrong with the form, 4xx, or there is no room for it, 503.
    """
    form = _Form(name, most, limits.image_bytes)
    parser = _open_parser(request.headers.get("content-type", ""), form)
    try:
        with upload.time as scope:
            scope.deadline = anyio.current_time() + limits.seconds
            async for chunk in request.stream():
                uploads.add(upload, len(chunk))
                if upload.size > limits.request_bytes:
                    raise HTTPException(413, f"a request may have at most {limits.request_bytes:,} bytes")
                parser.write(chunk)
                scope.deadline += len(chunk) / _LEAST_BYTES_PER_SECOND
        if upload.gave_way:
            raise BusyError(_TOO_MUCH)
        if scope.cancelled_caught:
            words = f"the request did not arrive within {limits.seconds:g} seconds"
            raise HTTPException(408, words, headers={"Connection": "close"})
        upload.arriving = False
        return form.finish()
    except FormParserError as error:
        raise HTTPException(400, f"the form is damaged: {printable(error)}") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the client disconnected") from error
    finally:
        form.forget()  # what was raised keeps hold of this frame until it is answered


def _open_parser(content_type: str, form: _Form) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise HTTPException(415, f"send a multipart/form-data form with a file in the field `{form.name}`")
    try:
        return MultipartParser(options[b"boundary"], form.callbacks(), max_header_count=8, max_header_size=2048)
    except FormParserError as error:
        raise HTTPException(400, f"the form is damaged: {printable(error)}") from error


class _Form:
    """What a parser has found in a form so far."""

    def __init__(self, name: str, most: int, most_bytes: int) -> None:
        self.name = name
        self._most = most
        self._most_bytes = most_bytes
        self._files: list[File] = []
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._file = ""  # the name of the part that is read
        self._content = bytearray()  # and its bytes
        self._whole = False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def finish(self) -> list[File]:
        if not self._whole:
            raise HTTPException(400, "the form is incomplete: its last boundary is missing")
        if not self._files:
            raise HTTPException(422, f"no file in the form's field `{self.name}`")
        return self._files

    def forget(self) -> None:
        self._files, self._content = [], bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._disposition = b""
        name = printable(options.get(b"name", b"").decode("utf-8", "replace"))
        if name != self.name or b"filename" not in options:
            what = "not a file" if name == self.name else "unknown"
            raise HTTPException(
                422, f"the form's field {name!r} is {what}: send images as files in `{self.name}`, options in the URL"
            )
        if len(self._files) == self._most:
            raise HTTPException(413, f"a request may have at most {counted(self._most, 'image')} in `{self.name}`")
        self._content = bytearray()
        self._file = printable(options[b"filename"].decode("utf-8", "replace"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]
        if len(self._content) > self._most_bytes:
            raise HTTPException(413, f"{self._file}: an image may have at most {self._most_bytes:,} bytes")

    def _on_part_end(self) -> None:
        self._files.append(File(self._file, bytes(self._content)))

    def _on_end(self) -> None:
        self._whole = True
