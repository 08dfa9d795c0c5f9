"""A real server on TCP over a control plane in memory; the clock is moved by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from migctl.access.audit.trail import AuditEntry, AuditTrail
from migctl.access.giving import rule_name
from migctl.access.identity.oidc import OidcSettings
from migctl.access.identity.secrets import digest
from migctl.access.identity.sign_in import SignIn, signing_in
from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_tcp_app
from migctl.api.browser import links_of
from migctl.api.server import serving_tcp
from migctl.api.tcp.listener import Listener, bound
from migctl.api.tcp.options import ListenOptions
from migctl.api.v1.app import create_v1
from migctl.api.v1.authentication import authenticated
from migctl.api.v1.service import ApiService, Identification
from migctl.backends.mirror import DECIDED_BY, Mirror
from migctl.clock import system_clock
from migctl.controller.observe import Observer
from migctl.objects import (
    AccessRule,
    AccessRuleSpec,
    AccessScope,
    AccessToken,
    AccessTokenSpec,
    Department,
    DepartmentSpec,
    Meta,
    Project,
    ProjectSpec,
    Role,
    RoleInScope,
)
from migctl.solver_process.planning import plan
from migctl.verdicts.live import Verdicts
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.fakes.runtime import FakeRuntime
from tests.limits import WAIT_S
from tests.migctl.api.v1.conftest import CLUSTER

OBJECTS = "/apis/migctl.dev/v1alpha1"


@dataclass
class Tcp:
    """What stands behind the port, and ways to come in."""

    behind: MemoryControlPlane
    admitting: AdmittingControlPlane
    mirror: Mirror
    runtime: FakeRuntime
    clock: ManualClock
    sign_in: SignIn
    trail: AuditTrail
    listener: Listener
    http: httpx.AsyncClient
    v1: FastAPI
    secrets: dict[str, str] = field(default_factory=dict)

    async def token(self, name: str, role: Role, user: str = "", **scope: str) -> AccessToken:
        """A stored token; `secrets` has its secret."""
        self.secrets[name] = f"secret-of-{name}"
        spec = AccessTokenSpec(
            user=user or name,
            access=RoleInScope(role=role, scope=AccessScope(**scope)),
            secret_sha256=digest(self.secrets[name]),
        )
        return await self.admitting.create(AccessToken(meta=Meta(name=name), spec=spec))

    async def rule(self, user: str, role: Role, **scope: str) -> AccessRule:
        access = RoleInScope(role=role, scope=AccessScope(**scope))
        return await self.admitting.create(
            AccessRule(meta=Meta(name=rule_name(user, access)), spec=AccessRuleSpec(user=user, access=access))
        )

    async def exchange(self, name: str, secret: str | None = None) -> httpx.Response:
        body = {"grantType": "app_token", "AppId": name, "AppSecret": secret or self.secrets[name]}
        return await self.http.post("/api/v1/token", json=body)

    async def bearer(self, name: str) -> dict[str, str]:
        """The header of a request that comes with a token."""
        return {"Authorization": f"Bearer {(await self.exchange(name)).json()['accessToken']}"}

    async def as_(self, name: str, role: Role, **scope: str) -> dict[str, str]:
        await self.token(name, role, **scope)
        return await self.bearer(name)

    async def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.http.get(path, headers=headers)

    def told(self) -> list[AuditEntry]:
        """The audit trail, newest first."""
        return list(self.trail.newest_first())

    async def settled(self) -> None:
        for kind in DECIDED_BY:
            stored: set[Any] = {(o.meta.uid, o.meta.version) for o in (await self.behind.list(kind)).items}
            while stored != {(o.meta.uid, o.meta.version) for o in self.mirror.all(kind)}:
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def served_on_tcp(folder: Path, options: ListenOptions, oidc: OidcSettings | None = None) -> AsyncIterator[Tcp]:
    clock = ManualClock()
    behind, runtime = MemoryControlPlane(clock), FakeRuntime()
    await behind.create(Department(meta=Meta(name="research"), spec=DepartmentSpec(quota=8.0)))
    await behind.create(Project(meta=Meta(name="team-a"), spec=ProjectSpec(quota=2.0, department="research")))
    await behind.create(Project(meta=Meta(name="team-b"), spec=ProjectSpec(quota=2.0)))
    mirror = Mirror(behind)
    await mirror.read()
    sign_in = signing_in(behind, folder / "keys.json", clock, oidc)
    trail = AuditTrail(folder / "audit", clock)
    listener = bound(options, folder / "tls", system_clock())
    admitting = AdmittingControlPlane(behind, clock)
    service = ApiService(
        admitting,
        mirror,
        runtime,
        CLUSTER,
        authenticated,
        clock,
        identity=Identification(
            sign_in, sign_in.accounts.ended, links_of(sign_in.sessions, listener), sign_in.keys.rotate
        ),
        trail=trail,
    )
    closing = asyncio.Event()
    v1 = create_v1(service)
    app = create_tcp_app(
        service,
        sign_in,
        listener,
        closing,
        v1=v1,
        ready=lambda: True,
        metrics=lambda: b"figures 1\n",
        verdict=Verdicts(mirror, clock, plan, Observer(mirror)),
        heartbeat_s=0.05,
    )
    following = [asyncio.create_task(mirror.run()), asyncio.create_task(sign_in.accounts.run())]
    http = httpx.AsyncClient(base_url=listener.url, verify=False, timeout=WAIT_S)
    async with serving_tcp(app, listener, closing), http:
        tcp = Tcp(behind, admitting, mirror, runtime, clock, sign_in, trail, listener, http, v1)
        await tcp.settled()
        yield tcp
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)


@pytest.fixture
async def tcp(tmp_path: Path) -> AsyncIterator[Tcp]:
    async with served_on_tcp(tmp_path, ListenOptions("127.0.0.1:0")) as served:
        yield served
