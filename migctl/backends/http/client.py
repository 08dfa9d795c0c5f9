"""The control plane of a running `migctl up`, over its Unix socket or TCP: RemoteControlPlane."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from migctl.backends.http.endpoints import Endpoint, SocketEndpoint
from migctl.backends.http.runtime import ExecEnvironment
from migctl.backends.http.wire import (
    HEARTBEAT_S,
    OBJECTS,
    REST,
    STATUS,
    ChangeLine,
    Error,
    List,
    Peer,
    RestError,
    to_exception,
)
from migctl.backends.merge import plain
from migctl.backends.protocol import Change, ChangeType, Invalid, Listing, Unavailable
from migctl.objects import T, Workload, WorkloadVerdict, decode, encode

if TYPE_CHECKING:
    import asyncio

    from migctl.backends.http.connection import Response

R = TypeVar("R")

TIMEOUT_S = 60.0
UNAUTHENTICATED = 401
MAX_CONCURRENT_CALLS = 16
"""More wait here, so that they do not overrun the queue of the socket."""


class RemoteControlPlane:
    """The protocol's ControlPlane behind a socket or an address, and the output of its workloads.

    Raises Invalid for a socket path that cannot be, Unavailable where nothing answers. Used
    within one event loop.
    """

    def __init__(self, where: Path | Endpoint) -> None:
        self._endpoint = SocketEndpoint(where) if isinstance(where, Path) else where

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        params = {} if project is None else {"project": project}
        listing = _parsed(await self._call("GET", _url(kind), params), List)
        return Listing(msgspec.json.decode(listing.items, type=tuple[kind, ...]), listing.version)  # type: ignore[valid-type]

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        return decode(await self._call("GET", _url(kind, name), {"project": project}), kind)

    async def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        params = {"watch": "true", "since": since}
        async with contextlib.aclosing(self._stream(_url(kind), params, silence_s=3 * HEARTBEAT_S)) as pieces:
            async for line in _lines(pieces):
                change = _parsed(line, ChangeLine)
                if change.error is not None:
                    raise to_exception(change.error)
                yield Change(ChangeType(change.type), decode(bytes(change.object), kind))
        raise Unavailable("the control plane was closed", hint="`migctl up` starts it")

    async def create(self, obj: T) -> T:
        return decode(await self._call("POST", _url(type(obj)), {}, _body(obj)), type(obj))

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        params = _identity(obj) | ({"version": obj.meta.version} if fenced else {})
        answer = await self._call("PATCH", _url(type(obj), obj.meta.name), params, _body(plain(changes)))
        return decode(answer, type(obj))

    async def delete(self, obj: T) -> None:
        await self._call("DELETE", _url(type(obj), obj.meta.name), _identity(obj))

    async def verdict(self, workload: Workload) -> WorkloadVerdict:
        """What would become of the workload if it were created now. Raises what create would."""
        answer = await self._call("POST", f"{_url(Workload)}/verdict", {}, _body(workload))
        return _parsed(answer, WorkloadVerdict)

    async def logs(
        self, project: str, workload: str, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[bytes]:
        """What the workload's newest attempts wrote, in pieces; with follow, until it ends."""
        params = {"project": project, "follow": str(follow)} | ({} if tail is None else {"tail": str(tail)})
        async with contextlib.aclosing(self._stream(f"{_url(Workload, workload)}/log", params, None)) as pieces:
            async for piece in pieces:
                yield piece

    async def exec_environment(self, project: str, workload: str) -> ExecEnvironment:
        """How to run a command beside the workload. Raises NotFound where it does not run."""
        url = f"{_url(Workload, workload)}/exec-environment"
        return _parsed(await self._call("GET", url, {"project": project}), ExecEnvironment)

    async def whoami(self) -> Peer:
        """This process, as the control plane sees it."""
        return _parsed(await self._call("GET", "/whoami", {}), Peer)

    async def rest(
        self, method: str, path: str, params: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """What the REST API answers, None for nothing. Raises the protocol's error for a refusal."""
        text = await self._call(method, f"{REST}{path}", params or {}, None if body is None else _body(body))
        return msgspec.json.decode(text) if text else None

    async def _call(self, method: str, url: str, params: Mapping[str, str], body: bytes | None = None) -> bytes:
        """The body of a successful response. Raises the protocol's error for any other."""
        async with self._limit, self._response(method, url, params, body, TIMEOUT_S) as response:
            return await response.read()

    async def _stream(
        self, url: str, params: Mapping[str, str], silence_s: float | None
    ) -> AsyncGenerator[bytes, None]:
        async with (
            self._response("GET", url, params, None, silence_s) as response,
            contextlib.aclosing(response.pieces()) as pieces,
        ):
            async for piece in pieces:
                yield piece

    @cached_property
    def _limit(self) -> asyncio.Semaphore:
        import asyncio

        return asyncio.Semaphore(MAX_CONCURRENT_CALLS)

    @contextlib.asynccontextmanager
    async def _response(
        self, method: str, url: str, params: Mapping[str, str], body: bytes | None, silence_s: float | None
    ) -> AsyncIterator[Response]:
        """A successful response. Raises the protocol's error for any other, and where none comes."""
        from migctl.backends.http.connection import BrokenResponse, exchange

        target = f"{url}?{urlencode(params)}" if params else url
        try:
            async with contextlib.AsyncExitStack() as stack:
                call = (self._endpoint, method, target, body, silence_s)
                response = await stack.enter_async_context(exchange(*call))
                if response.status == UNAUTHENTICATED and self._endpoint.forget():
                    response = await stack.enter_async_context(exchange(*call))
                if not 200 <= response.status < 300:
                    raise _refusal(await response.read())
                yield response
        except (BrokenResponse, OSError) as error:
            raise self._endpoint.unreachable(error) from error


def _url(kind: type[Any], name: str | None = None) -> str:
    return f"{OBJECTS}/{kind.PLURAL}" + ("" if name is None else f"/{quote(name, safe='')}")


def _identity(obj: Any) -> dict[str, str]:
    return {"project": obj.meta.project, "uid": obj.meta.uid}


def _body(value: Any) -> bytes:
    try:
        return encode(value)
    except (TypeError, ValueError) as error:
        raise Invalid(f"this is no JSON: {error}") from None


def _parsed(text: bytes, kind: type[R]) -> R:
    return msgspec.json.decode(text, type=kind)


def _refusal(body: bytes) -> Exception:
    try:
        return to_exception(_parsed(body, Error))
    except msgspec.ValidationError:
        return _rest_refusal(body)
    except msgspec.DecodeError:
        return Unavailable("the answer of migctl cannot be parsed", hint="see its log")


def _rest_refusal(body: bytes) -> Exception:
    """The same of an error as the REST API tells it: its code is the HTTP status."""
    try:
        error = _parsed(body, RestError)
    except msgspec.DecodeError:
        return Unavailable("the answer of migctl cannot be parsed", hint="see its log")
    kind = next((kind for kind, status in STATUS.items() if status == error.code), Unavailable)
    return kind(error.message, error.details)


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines in a stream of bytes, split at newlines only; heartbeats are dropped."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line:
                yield line
