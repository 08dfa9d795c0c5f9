"""The adapters under contract. A new one is one more entry in ADAPTERS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app
from migctl.api.server import serving
from migctl.backends.http.client import RemoteControlPlane
from migctl.backends.kubernetes.user.claims import UserClaims
from migctl.backends.kubernetes.user.control_plane import user_control_plane
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.kubernetes.user.workload_store import WorkloadStore
from migctl.backends.protocol import ControlPlane
from migctl.backends.sqlite.store import SqliteControlPlane
from tests.fakes.clients import client
from tests.fakes.control_plane import MemoryControlPlane
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.server import FakeApi
from tests.fakes.kubernetes_api.storage import Storage
from tests.fakes.kubernetes_api.users import ADMIN
from tests.fakes.runtime import FakeRuntime
from tests.migctl.backends.contract import samples

LABELS = {"migctl.dev/project": "here"}

LOG_LENGTH = 16
"""Changes that the adapters under test keep for late watches."""


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[ControlPlane]:
    control_plane = MemoryControlPlane(log_length=LOG_LENGTH)
    yield control_plane
    await control_plane.close()


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[ControlPlane]:
    control_plane = SqliteControlPlane(folder / "state.db", log_length=LOG_LENGTH)
    yield control_plane
    await control_plane.close()


@asynccontextmanager
async def remote(folder: Path) -> AsyncIterator[ControlPlane]:
    store = SqliteControlPlane(folder / "state.db", log_length=LOG_LENGTH)
    for name in ("team-a", "team-b"):
        await store.create(samples.project(name))
    app = create_app(AdmittingControlPlane(store), FakeRuntime())
    async with serving(app, folder / "s"):
        yield RemoteControlPlane(folder / "s")
    await store.close()


@asynccontextmanager
async def kubernetes(_: Path) -> AsyncIterator[ControlPlane]:
    fake = FakeApi(Operations(Storage(LOG_LENGTH)))
    for name in ("team-a", "team-b"):
        fake.operations.create(ADMIN, BY_PLURAL["namespaces"], "", {"metadata": {"name": name, "labels": LABELS}})
    async with fake.serving(), client(fake) as api:
        reaching = PermittedApi(api.transport)
        yield user_control_plane(reaching, WorkloadStore(reaching, UserClaims(reaching)))


ADAPTERS: tuple[Callable[[Path], AbstractAsyncContextManager[ControlPlane]], ...] = (memory, sqlite, remote, kubernetes)


NOT_ON_KUBERNETES = {
    "test_null_deletes_a_key_and_a_field_goes_back_to_its_default": "a workload's status is made of its pods'",
    "test_values_may_be_enums_times_and_records": "a workload's status is made of its pods'",
    "test_any_name_finds_its_object": "names of Kubernetes are DNS names",
    "test_any_text_reads_back_as_written": "labels of Kubernetes hold names only",
    "test_a_watch_tells_of_its_kind_only_and_of_all_projects": "a watch of workloads starts from what it finds",
}


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def control_plane(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ControlPlane]:
    why = NOT_ON_KUBERNETES.get(request.node.originalname)
    if request.param is kubernetes and why is not None:
        pytest.skip(why)
    async with request.param(tmp_path) as adapter:
        yield adapter
