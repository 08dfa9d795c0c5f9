"""uvicorn on a Unix socket, with the peer's identity from the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from migctl.backends.http.unix_socket import listen
from migctl.backends.http.wire import Peer

SHUTDOWN_TIMEOUT_S = 5
"""How long requests under way may take to end when the server closes."""


@contextlib.asynccontextmanager
async def serving(app: FastAPI, path: Path) -> AsyncIterator[None]:
    """Serve the app on the socket at `path` while the context is open; then streams end and the socket is removed.

    Raises what `listen` raises. Handles no signals.
    """
    server = _Server(
        uvicorn.Config(
            app,
            http=_PeerProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        )
    )
    listener = listen(path)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.up.wait()
        yield
    finally:
        app.state.closing.set()
        server.down.set()
        await running
        path.unlink(missing_ok=True)


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


def _peer(connection: socket.socket) -> Peer:
    """SO_PEERCRED: pid, uid and gid of the process that connected, see unix(7)."""
    form = struct.Struct("3i")
    pid, uid, gid = form.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size))
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return Peer(user=user, uid=uid, gid=gid, pid=pid)
