"""A served control plane and ways to talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app
from migctl.api.server import serving
from migctl.backends.http.client import RemoteControlPlane
from tests.fakes.control_plane import MemoryControlPlane
from tests.fakes.runtime import FakeRuntime
from tests.migctl.backends.contract import samples


@dataclass
class Served:
    """What stands behind the socket, and both kinds of client. `ready` is what readyz says."""

    behind: MemoryControlPlane
    runtime: FakeRuntime
    remote: RemoteControlPlane
    http: httpx.AsyncClient
    socket: Path
    ready: bool = True


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    socket = tmp_path / "s"
    behind, runtime = MemoryControlPlane(), FakeRuntime()
    await behind.create(samples.project("team-a"))
    http = httpx.AsyncClient(base_url="http://migctl", transport=httpx.AsyncHTTPTransport(uds=str(socket)))
    served = Served(behind, runtime, RemoteControlPlane(socket), http, socket)
    app = create_app(AdmittingControlPlane(behind), runtime, ready=lambda: served.ready, heartbeat_s=0.01)
    async with serving(app, socket), http:
        yield served
