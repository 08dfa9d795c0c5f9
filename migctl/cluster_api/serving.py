"""Serves the REST API of a cluster: on one port the API, on another what probes ask, until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from migctl.api.app import create_health_app, create_rest_app
from migctl.api.server import serving_tcp
from migctl.api.tcp.listener import Listener, load, tls_context
from migctl.api.v1.app import create_v1
from migctl.backends.protocol import Invalid
from migctl.cluster_api.service import ClusterApiService
from migctl.cluster_api.sign_in import ClusterSignIn

log = structlog.get_logger()

CERTIFICATE, KEY = "tls.crt", "tls.key"
"""As a Secret of type kubernetes.io/tls names them."""
CERTIFICATE_CHECK_S = 30.0
BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where it listens; port 0 is any free one. tls: a folder with a certificate and its key; without them, no TLS."""

    host: str
    port: int
    health_port: int
    tls: Path | None = None


@contextlib.asynccontextmanager
async def serving(service: ClusterApiService, endpoints: Endpoints) -> AsyncIterator[tuple[Listener, Listener]]:
    """Serve until the block ends; the API's listener and that of probes. Raises Invalid, OSError."""
    closing = asyncio.Event()
    with contextlib.ExitStack() as sockets:
        api = _listener(sockets, endpoints.host, endpoints.port, _tls(endpoints.tls))
        health = _listener(sockets, endpoints.host, endpoints.health_port, None)
        app = create_rest_app(create_v1(service), ClusterSignIn(service.reviews, service.clock), closing)
        probes = create_health_app(lambda: service.view.synced)
        async with contextlib.AsyncExitStack() as tasks:
            await tasks.enter_async_context(serving_tcp(probes, health, asyncio.Event()))
            await tasks.enter_async_context(serving_tcp(app, api, closing))
            if api.tls is not None and endpoints.tls is not None:
                await tasks.enter_async_context(_running(_renewed(api.tls, endpoints.tls)))
            yield api, health


async def run(service: ClusterApiService, endpoints: Endpoints) -> None:
    """Follow the cluster and serve, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _running(service.view.run()) as following, serving(service, endpoints) as (api, health):
        log.info("serving", port=api.port, tls=api.tls is not None, health=health.port)
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait((stopped, following), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if following.done():
            following.result()


def _listener(sockets: contextlib.ExitStack, host: str, port: int, tls: ssl.SSLContext | None) -> Listener:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = sockets.enter_context(socket.create_server((host, port), family=family, backlog=BACKLOG))
    bound.setblocking(False)
    return Listener(bound, host, bound.getsockname()[1], tls)


def _tls(folder: Path | None) -> ssl.SSLContext | None:
    """The certificate in a folder, None where there is none."""
    if folder is None or not (folder / CERTIFICATE).exists():
        return None
    return tls_context(folder / CERTIFICATE, folder / KEY)


async def _renewed(tls: ssl.SSLContext, folder: Path) -> None:
    """Serve new connections with the certificate that the Secret has now: it is replaced before it expires."""
    known = _written(folder)
    while True:
        await asyncio.sleep(CERTIFICATE_CHECK_S)
        if (now := _written(folder)) != known:
            try:
                load(tls, folder / CERTIFICATE, folder / KEY)
            except Invalid as error:
                log.error("the new certificate is not used", error=str(error))
            known = now


def _written(folder: Path) -> tuple[int, ...]:
    paths = (folder / name for name in (CERTIFICATE, KEY))
    return tuple(path.stat().st_mtime_ns for path in paths if path.exists())


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
