"""uvicorn: on a Unix socket, with the peer's identity from the kernel, and on TCP, with bounds."""

from __future__ import annotations

import asyncio
import contextlib
import pwd
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from migctl.api.tcp.listener import Listener
from migctl.backends.http.unix_socket import listen
from migctl.backends.http.wire import Peer

SHUTDOWN_TIMEOUT_S = 5
"""How long requests under way may take to end when the server closes."""
MAX_HEADERS = 32 * 1024
"""Bytes of a request's line and headers."""
HEADERS_S = 20.0
"""How long they may take to arrive on TCP."""
MAX_CONNECTIONS = 640
MAX_CONNECTIONS_OF_ADDRESS = 320
"""So that one address does not take them all."""


@contextlib.asynccontextmanager
async def serving(app: FastAPI, path: Path) -> AsyncIterator[None]:
    """Serve the app on the socket at `path` while the context is open; then streams end and the socket is removed.

    Raises what `listen` raises. Handles no signals.
    """
    listener = listen(path)
    try:
        async with _running(app, listener, _PeerProtocol, app.state.closing):
            yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def serving_tcp(app: ASGIApp, listener: Listener, closing: asyncio.Event) -> AsyncIterator[None]:
    """Serve the app where others reach it while the context is open; `closing` ends streams. Handles no signals."""
    # Connections inherit it. Without it, what follows a first small piece waits for the client's delayed ACK, 40 ms;
    # asyncio sets it only for sockets that were made with a protocol number.
    listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    async with _running(app, listener.socket, _bounded_protocol(), closing, listener.tls):
        yield


@contextlib.asynccontextmanager
async def _running(
    app: ASGIApp,
    listener: socket.socket,
    protocol: type[H11Protocol],
    closing: asyncio.Event,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        h11_max_incomplete_event_size=MAX_HEADERS,
    )
    config.load()
    config.ssl = tls
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.up.wait()
        yield
    finally:
        closing.set()
        server.down.set()
        await running


class _Server(uvicorn.Server):
    """A uvicorn server that waits for the request to end without polling, and handles no signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self.down = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self.up.set()
        await self.down.wait()


class _PeerProtocol(H11Protocol):
    """Sets `request.state.peer` to the process that sent the request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": _peer(transport.get_extra_info("socket"))}


def _bounded_protocol() -> type[H11Protocol]:
    """A protocol for one listener: it counts connections, and closes those that send no request in time."""
    connections: Counter[str] = Counter()

    class BoundedProtocol(H11Protocol):
        _address: str | None = None
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            address = str((transport.get_extra_info("peername") or ("",))[0])
            if connections.total() >= MAX_CONNECTIONS or connections[address] >= MAX_CONNECTIONS_OF_ADDRESS:
                transport.abort()
                return
            self._address = address
            connections[address] += 1
            super().connection_made(transport)
            self._expect_headers()

        def data_received(self, data: bytes) -> None:
            if self._address is None:
                return
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._expect_headers()
            elif self._late is not None:
                self._late.cancel()
                self._late = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self._address is None:
                return
            if self._late is not None:
                self._late.cancel()
            connections[self._address] -= 1
            if not connections[self._address]:
                del connections[self._address]
            super().connection_lost(exc)

        def _expect_headers(self) -> None:
            if self._late is None:
                self._late = self.loop.call_later(HEADERS_S, self.transport.abort)

    return BoundedProtocol


def _peer(connection: socket.socket) -> Peer:
    """SO_PEERCRED: pid, uid and gid of the process that connected, see unix(7)."""
    form = struct.Struct("3i")
    pid, uid, gid = form.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size))
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return Peer(user=user, uid=uid, gid=gid, pid=pid)
