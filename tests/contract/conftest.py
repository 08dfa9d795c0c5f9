"""The adapters under contract. A new one is one more entry in ADAPTERS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from migctl.api.app import create_app
from migctl.api.server import serving
from migctl.backends.embedded.store import SqliteControlPlane
from migctl.backends.protocol import ControlPlane
from migctl.backends.remote import RemoteControlPlane
from tests.contract import samples
from tests.fakes.control_plane import MemoryControlPlane
from tests.fakes.runtime import FakeRuntime

KEPT = 16
"""Changes that the adapters under test keep for late watches."""


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[ControlPlane]:
    control_plane = MemoryControlPlane(keep=KEPT)
    yield control_plane
    await control_plane.close()


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[ControlPlane]:
    control_plane = SqliteControlPlane(folder / "state.db", keep=KEPT)
    yield control_plane
    await control_plane.close()


@asynccontextmanager
async def remote(folder: Path) -> AsyncIterator[ControlPlane]:
    store = SqliteControlPlane(folder / "state.db", keep=KEPT)
    for name in ("team-a", "team-b"):
        await store.create(samples.project(name))
    app = create_app(store, FakeRuntime())
    async with serving(app, folder / "s"), RemoteControlPlane(folder / "s") as control_plane:
        yield control_plane
    await store.close()


ADAPTERS: tuple[Callable[[Path], AbstractAsyncContextManager[ControlPlane]], ...] = (memory, sqlite, remote)


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def control_plane(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with request.param(tmp_path) as adapter:
        yield adapter
