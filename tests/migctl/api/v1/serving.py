"""The REST API of the tests' users, on a loopback port, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.v1.app import create_v1
from migctl.api.v1.service import ApiService
from migctl.backends.mirror import Mirror
from migctl.controller.observe import Observer
from migctl.solver_process.planning import plan
from migctl.verdicts.live import Verdicts
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.fakes.runtime import FakeRuntime
from tests.migctl.api.v1.conftest import CLUSTER, by_name, stored


@contextlib.contextmanager
def on_loopback() -> Iterator[str]:
    """Serve until the context ends; its URL."""
    up, ports = threading.Event(), list[int]()
    stop: list[asyncio.AbstractEventLoop | asyncio.Event] = []

    async def serve() -> None:
        behind = MemoryControlPlane()
        await stored(behind)
        mirror = Mirror(behind)
        await mirror.read()
        clock, control = ManualClock(), AdmittingControlPlane(behind)
        judge = Verdicts(mirror, clock, plan, Observer(mirror))
        service = ApiService(control, mirror, FakeRuntime(), CLUSTER, by_name, clock, planner=judge)
        app = create_v1(service)
        app.state.closing = ending = asyncio.Event()
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        ports.append(listener.getsockname()[1])
        following, serving = asyncio.create_task(mirror.run()), asyncio.create_task(server.serve([listener]))
        stop[:] = [asyncio.get_running_loop(), ending]
        up.set()
        await ending.wait()
        server.should_exit = True
        await serving
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    up.wait()
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop, ending = stop
        assert isinstance(loop, asyncio.AbstractEventLoop)
        assert isinstance(ending, asyncio.Event)
        loop.call_soon_threadsafe(ending.set)
        thread.join()
