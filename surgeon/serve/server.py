"""The server of the service: connections that end, even if their clients do nothing for it."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import psutil
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from surgeon.errors import SurgeonError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_CONNECTIONS = 256
_BACKLOG = 32  # asyncio accepts as many at a time before it looks at any
_WAITING = 1024  # connections that the system holds until they are accepted
_OTHER_DESCRIPTORS = 2 * _BACKLOG + 64  # what processes that decode, logs and the runtime may open later
_IDLE_SECONDS = 5
_SHUTDOWN_SECONDS = 5
_LOG_SECONDS = 60


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Args:
        host: A name or an address.
        port: 0 takes one that is free.

    Raises:
        SurgeonError: If that cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        known = not isinstance(error, socket.gaierror)  # else it is the name that is wrong
        reason = os.strerror(error.errno) if known and error.errno else error.strerror
        hint = "choose another port with --port; 0 picks a free one" if known else None
        raise SurgeonError(f"cannot listen at {host}, port {port}: {reason}", hint) from error


def url_of(listener: socket.socket) -> str:
    """Returns the address of a service for people and their browsers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: ASGIApp, listener: socket.socket, seconds: float, on_ready: Callable[[], None]) -> None:
    """Answers until a signal asks for the end; what is being answered then has a few seconds more.

    Args:
        app: The service.
        listener: Where.
        seconds: That the headers of a request may take to arrive, and an answer to be taken.
        on_ready: Called when the first request can be answered.
    """
    for name in ("asyncio", "uvicorn.error", "surgeon.serve"):
        logging.getLogger(name).addFilter(_once_a_minute())
    # Processes that decode are ended with the event loop, which may then look for one in vain.
    logging.getLogger("asyncio").addFilter(lambda record: not str(record.msg).startswith("Unknown child process"))
    config = uvicorn.Config(
        app,
        http=functools.partial(_Connection, seconds=seconds, most=_most_connections()),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        h11_max_incomplete_event_size=16_384,
    )
    _Server(config, on_ready).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_WAITING)  # asyncio has set its own number of those that it accepts at a time
        self._on_ready()


class _Connection(H11Protocol):
    """A connection whose client has to be done with a request's headers, and to take its answer, in time.

    When there are too many, the one that has waited longest for its client gives way to the newest.
    """

    def __init__(self, *arguments: Any, seconds: float, most: int, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._seconds = seconds
        self._most = most
        self.waits_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._wait_for_client()
        if len(self.connections) > self._most:
            waiting = [other for other in self.connections if other is not self and other.waits_for_client]
            if waiting:
                min(waiting, key=lambda other: other.waits_since).transport.abort()
            else:
                self._refuse(503, "too many connections; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answers:
            self._stop_timer()

    def on_response_complete(self) -> None:
        self._wait_for_client()
        super().on_response_complete()  # goes on with the next request if it is there already
        if self._answers:
            self._stop_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_client()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._answers:
            self._stop_timer()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "not a valid HTTP request")

    @property
    def waits_for_client(self) -> bool:
        """Whether a request, or the rest of one, is still to come."""
        return not self._answers or self.cycle.more_body

    @property
    def _answers(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_client(self) -> None:
        self._stop_timer()
        self.waits_since = self.loop.time()
        self._timer = self.loop.call_later(self._seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._refuse(408, f"the headers of a request have {self._seconds:g} seconds to arrive")

    def _refuse(self, status: int, detail: str) -> None:
        if self.transport.is_closing() or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = json.dumps({"detail": detail}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        response = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()
        self._wait_for_client()  # until it has taken that


def _most_connections() -> int:
    """Returns how many connections leave descriptors for all else, where these are few."""
    if sys.platform == "win32":
        return _CONNECTIONS
    import resource  # noqa: PLC0415  Windows has none

    free = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - psutil.Process().num_fds() - _OTHER_DESCRIPTORS
    return max(8, min(_CONNECTIONS, free))


def _once_a_minute() -> Callable[[logging.LogRecord], bool]:
    """Returns a filter for a log, which strangers could fill otherwise: a place in the code speaks once a minute."""
    silent_until: dict[tuple[str, int], float] = {}
    left_out: Counter[tuple[str, int]] = Counter()

    def keep(record: logging.LogRecord) -> bool:
        place, now = (record.pathname, record.lineno), time.monotonic()
        if now < silent_until.get(place, 0):
            left_out[place] += 1
            return False
        silent_until[place] = now + _LOG_SECONDS
        if left_out[place]:
            record.msg, record.args = f"{record.getMessage()} (and {left_out.pop(place)} more before)", None
        return True

    return keep
