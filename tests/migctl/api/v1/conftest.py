"""A served REST API with users of every role, over a control plane in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI, Request

from migctl.access.caller import OWNER, Caller
from migctl.api.admitting import AdmittingControlPlane
from migctl.api.v1.app import create_v1
from migctl.api.v1.service import ApiService, ClusterIdentity
from migctl.backends.mirror import DECIDED_BY, Mirror
from migctl.backends.protocol import Unauthenticated
from migctl.controller.observe import Observer
from migctl.objects import AccessScope, Department, DepartmentSpec, Meta, Project, ProjectSpec, Role, RoleInScope
from migctl.solver_process.planning import plan
from migctl.verdicts.live import Verdicts
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.fakes.runtime import FakeRuntime

CLUSTER = ClusterIdentity("0d4b8f3a-6a53-4a3c-9d0e-5b1f0e2c7a11", "here")


def having(role: Role, **scope: str) -> tuple[RoleInScope, ...]:
    return (RoleInScope(role=role, scope=AccessScope(**scope)),)


USERS: Mapping[str, tuple[RoleInScope, ...]] = {
    "admin": OWNER,
    "department-admin": having(Role.DEPARTMENT_ADMIN, department="research"),
    "project-admin": having(Role.PROJECT_ADMIN, project="team-a"),
    "researcher": having(Role.RESEARCHER, project="team-a"),
    "colleague": having(Role.RESEARCHER, project="team-a"),
    "viewer": having(Role.VIEWER, project="team-a"),
    "outsider": having(Role.RESEARCHER, project="team-b"),
    "nobody": (),
}
"""team-a is in department research, team-b in none."""


async def by_name(request: Request) -> Caller:
    """The user that a request's bearer token names: identity is not what these tests are about."""
    name = request.headers.get("authorization", "").removeprefix("Bearer ")
    if name not in USERS:
        raise Unauthenticated("a token is needed")
    return Caller(name, USERS[name], through="a test")


@dataclass
class Served:
    """What stands behind the API, and a client for each user; `mirror` follows `behind`."""

    behind: MemoryControlPlane
    mirror: Mirror
    runtime: FakeRuntime
    service: ApiService
    clock: ManualClock
    app: FastAPI
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def __getitem__(self, user: str) -> httpx.AsyncClient:
        return self.clients[user]

    async def settled(self) -> None:
        """Wait until the cache shows all that is stored."""
        for kind in DECIDED_BY:
            stored = {(o.meta.uid, o.meta.version) for o in (await self.behind.list(kind)).items}
            while stored != {(o.meta.uid, o.meta.version) for o in self.mirror.all(kind)}:
                await asyncio.sleep(0.001)


async def stored(behind: MemoryControlPlane) -> None:
    """Create the queues that USERS are about."""
    await behind.create(Department(meta=Meta(name="research"), spec=DepartmentSpec(quota=8.0)))
    await behind.create(Project(meta=Meta(name="team-a"), spec=ProjectSpec(quota=2.0, department="research")))
    await behind.create(Project(meta=Meta(name="team-b"), spec=ProjectSpec(quota=2.0)))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    clock = ManualClock()
    behind, runtime = MemoryControlPlane(clock), FakeRuntime()
    await stored(behind)
    mirror = Mirror(behind)
    await mirror.read()
    following = asyncio.create_task(mirror.run())
    judge = Verdicts(mirror, clock, plan, Observer(mirror))
    service = ApiService(AdmittingControlPlane(behind), mirror, runtime, CLUSTER, by_name, clock, planner=judge)
    app = create_v1(service)
    app.state.closing = asyncio.Event()
    served = Served(behind, mirror, runtime, service, clock, app)
    async with contextlib.AsyncExitStack() as stack:
        for user in (*USERS, "unknown"):
            client = httpx.AsyncClient(
                base_url="http://migctl",
                transport=httpx.ASGITransport(app, raise_app_exceptions=False),
                headers={"Authorization": f"Bearer {user}"},
            )
            served.clients[user] = await stack.enter_async_context(client)
        await served.settled()
        yield served
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
