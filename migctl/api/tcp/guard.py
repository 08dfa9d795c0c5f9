"""What stands before the API on TCP: who is there, how much he may send, how many requests he may have at a time.

A body is read as a whole before the API sees the request, so nothing slow or large gets further.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from types import MappingProxyType
from typing import Any, Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from migctl.access.caller import Caller
from migctl.api.tcp.listener import address, is_loopback
from migctl.backends.http.wire import JSON, error_body, error_status
from migctl.backends.protocol import ControlPlaneError, Invalid, RateLimited, Unauthenticated
from migctl.objects import encode

MAX_BODY = 2**20
MAX_BODY_OF_STRANGERS = 2**14
BODY_S = 30.0
"""How long a body may take to arrive."""
DRAIN_S = 5.0
MAX_DRAINED = 8 * MAX_BODY
SEND_S = 60.0
"""How long a client may take to read a piece of an answer."""
MAX_REQUESTS = 256
"""Requests and streams of one caller at a time."""
MAX_REQUESTS_OF_STRANGERS = 32
"""The same for an address without a caller."""
COOKIE = "migctl_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))

SECURITY_HEADERS: Mapping[bytes, bytes] = MappingProxyType(
    {
        b"x-content-type-options": b"nosniff",
        b"x-frame-options": b"DENY",
        b"referrer-policy": b"no-referrer",
        b"cache-control": b"no-store",
    }
)


class TooLarge(Invalid):
    """The body is larger than any that is meant. more: some of it has not arrived yet."""

    more = True


class TooSlow(Invalid):
    """The body did not come in time."""


class Credentials(Protocol):
    """Tells who comes with a credential: an Authorization header's, or a browser's cookie."""

    async def bearer(self, credential: str, origin: str) -> Caller:
        """Who comes with a token. Raises Unauthenticated."""
        ...

    async def browser(self, cookie: str, csrf: str | None, origin: str) -> Caller:
        """Who comes with a cookie; csrf None: the request changes nothing. Raises Unauthenticated, Forbidden."""
        ...


class Guard:
    """ASGI: `request.state` has `caller`, or `refused` (why there is none), or neither where nobody signed in.

    loopback  only this machine reaches the port: then a request must name it, so that no page of another
              site can be made to point here (DNS rebinding)
    """

    def __init__(self, app: ASGIApp, sign_in: Credentials, *, loopback: bool) -> None:
        self._app = app
        self._sign_in = sign_in
        self._loopback = loopback
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        origin = scope["client"][0] if scope.get("client") else ""
        send = _patient(send)
        if self._loopback and not _names_loopback(headers.get("host", "")):
            await _refuse(
                send, Invalid(f"this is not {headers.get('host', '')[:64]!r}", hint="use localhost"), scope, 421
            )
            return
        state = scope.setdefault("state", {})
        state["origin"] = origin
        try:
            caller = await self._caller(scope["method"], headers, origin)
        except ControlPlaneError as error:
            caller, state["refused"] = None, error
        else:
            state["caller"] = caller
        key = f"{caller.user}\0{caller.token}{caller.session}" if caller else f"\0{origin}"
        if self._under_way[key] >= (MAX_REQUESTS if caller else MAX_REQUESTS_OF_STRANGERS):
            many = RateLimited("you have too many requests and streams open", hint="close some of them")
            await _refuse(send, many, scope)
            return
        self._under_way[key] += 1
        try:
            body = await _body(headers, receive, MAX_BODY if caller else MAX_BODY_OF_STRANGERS)
            await self._app(scope, _given(body, receive), send)
        except TooLarge as error:
            if error.more and "expect" not in headers:
                await _drain(receive)
            await _refuse(send, error, scope, 413)
        except TooSlow as error:
            await _refuse(send, error, scope, 408)
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    async def _caller(self, method: str, headers: Headers, origin: str) -> Caller | None:
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        if scheme:
            if scheme.lower() != "bearer":
                raise Unauthenticated("a bearer token is needed", hint="Authorization: Bearer TOKEN")
            return await self._sign_in.bearer(credential.strip(), origin)
        if cookie := cookie_of(headers):
            csrf = None if method in SAFE else headers.get(CSRF_HEADER, "")
            return await self._sign_in.browser(cookie, csrf, origin)
        return None


def cookie_of(headers: Headers) -> str:
    """The cookie of a browser's session, "" where there is none."""
    try:
        cookies: SimpleCookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _names_loopback(host: str) -> bool:
    """Whether a Host header means this machine itself; any port, since ports are forwarded."""
    try:
        return is_loopback(address(host if host.rpartition(":")[2].isdigit() else f"{host}:80")[0])
    except Invalid:
        return False


async def _body(headers: Headers, receive: Receive, most: int) -> bytes:
    told = headers.get("content-length", "0")
    if told.isdigit() and int(told) > most:
        raise _too_large(most)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                piece = message.get("body", b"")
                size += len(piece)
                if size > most:
                    large = _too_large(most)
                    large.more = message.get("more_body", False)
                    raise large
                pieces.append(piece)
                if not message.get("more_body", False):
                    return b"".join(pieces)
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {BODY_S:g} seconds") from None


async def _drain(receive: Receive) -> None:
    """Read a little more of a body that is too large: a client that is still sending would not see the answer."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while size < MAX_DRAINED and (message := await receive()).get("more_body", False):
                size += len(message.get("body", b""))


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most} bytes", hint="send less in one request")


def _given(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, and then what comes after it: the end of the connection."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_next() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_next


def _patient(send: Send) -> Send:
    """Sends with the headers that every answer has, and gives up on who does not read."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            more = [(name, value) for name, value in SECURITY_HEADERS.items() if name not in there]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        async with asyncio.timeout(SEND_S):
            await send(message)

    return sent


async def _refuse(send: Send, error: ControlPlaneError, scope: Scope, status: int = 0) -> None:
    """Answer an error in the form of the API that was asked."""
    status = status or error_status(error)
    body: Any = error_body(error)
    if scope["path"].startswith("/api/"):
        body = {"code": status, "message": str(error), "details": error.hint}
    headers = [(b"content-type", JSON.encode()), (b"connection", b"close")]
    if isinstance(error, RateLimited):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": encode(body)})
