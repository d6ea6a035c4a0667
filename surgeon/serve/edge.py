"""What is settled before a request reaches the service: who may ask, and what every answer says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders

from surgeon.text import printable

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EVERY_ANSWER = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_CLOSE = {"Connection": "close"}
_LINGER_SECONDS = 5
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Hosts:
    """The names that the service answers to.

    A stranger's page can make its own name lead to this machine (DNS rebinding), but not an address.

    Attributes:
        local: Names of this machine.
        allowed: Names that the user gave; ``*`` stands for all.
        addresses: Whether any IP address will do.
    """

    local: frozenset[str]
    allowed: frozenset[str]
    addresses: bool

    def __contains__(self, name: object) -> bool:
        known = name in self.local or name in self.allowed or "*" in self.allowed
        return known or (self.addresses and _address(str(name)) is not None)


def hosts_of(host: str, allowed: Iterable[str] = ()) -> Hosts:
    """Returns the names that a service answers to by where it listens and what its user allows besides."""
    address = _address(host)
    local = {"localhost", "127.0.0.1", "::1", host.lower()}
    is_local = host.lower() == "localhost" or (address is not None and address.is_loopback)
    if not is_local:
        local.add(socket.gethostname().lower())
    return Hosts(frozenset(local), frozenset(name.lower() for name in allowed), addresses=not is_local)


def guard(app: ASGIApp, hosts: Hosts, most_bytes: int) -> ASGIApp:
    """Returns a service that refuses what it need not look into, and whose every answer keeps a browser to itself.

    Args:
        app: The service.
        hosts: The names that it answers to.
        most_bytes: Of a request's body.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _EVERY_ANSWER.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        refusal = _refusal(scope["method"], Headers(scope=scope), hosts, most_bytes)
        if scope["method"] == "HEAD":  # the server leaves the body out
            scope = {**scope, "method": "GET"}
        await (refusal or app)(scope, receive, send_more)

    return _heard(guarded)


def _heard(app: ASGIApp) -> ASGIApp:
    """Returns a service whose answers reach clients that are still sending, and those that it leaves at its end."""

    async def heard(scope: Scope, receive: Receive, send: Send) -> None:
        arriving = scope["type"] == "http" and "expect" not in Headers(scope=scope)  # or it sends when it is told to
        started = False

        async def receive_on() -> Message:
            nonlocal arriving
            message = await receive()
            arriving = message.get("more_body", False)
            return message

        async def send_after_rest(message: Message) -> None:
            nonlocal started
            started = True
            if arriving and message["type"] == "http.response.start":
                await _drop_rest(receive_on)
            await send(message)

        try:
            await app(scope, receive_on, send_after_rest)
        except asyncio.CancelledError:  # the server has waited long enough for the last requests
            if scope["type"] == "http" and not started:
                await JSONResponse({"detail": "the service is shutting down"}, 503, _CLOSE)(scope, receive, send)

    return heard


async def _drop_rest(receive: Receive) -> None:
    """Reads on for a while: a client that is still sending would find its connection closed instead of an answer."""
    end = anyio.current_time() + _LINGER_SECONDS
    arriving = True
    while arriving and anyio.current_time() < end:
        arriving = False
        with anyio.move_on_after(_PAUSE_SECONDS):
            arriving = (await receive()).get("more_body", False)


def _refusal(method: str, headers: Headers, hosts: Hosts, most_bytes: int) -> JSONResponse | None:
    """Returns the answer to a request that is refused by its headers."""
    length, host, origin = headers.get("content-length"), headers.get("host", ""), headers.get("origin")
    if length is not None and "transfer-encoding" in headers:
        return JSONResponse({"detail": "either Content-Length or Transfer-Encoding, not both"}, 400, _CLOSE)
    if length is not None and int(length) > most_bytes:
        return JSONResponse({"detail": f"a request may have at most {most_bytes:,} bytes"}, 413)
    name = hostname(host)
    if name not in hosts:
        words = f"this service does not answer to the name {printable(name)!r}; allow it with `--allow-host`"
        return JSONResponse({"detail": words}, 403)
    if method not in ("GET", "HEAD") and origin is not None and _is_foreign(origin, host, hosts):
        return JSONResponse({"detail": f"pages from {printable(origin)} may not use this service"}, 403)
    return None


def _is_foreign(origin: str, host: str, hosts: Hosts) -> bool:
    """Tells whether a page is not of this service; behind a proxy, its host is one that the user allows."""
    return origin.partition("://")[2].lower() != host.lower() and hostname(origin) not in hosts.allowed


def hostname(value: str) -> str:
    """Returns the name in a ``Host`` or an ``Origin``, without its port; an empty one if there is none."""
    try:
        return urlsplit(value if "://" in value else f"//{value}").hostname or ""
    except ValueError:
        return ""


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
