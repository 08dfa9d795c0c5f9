"""A REST API over a fake cluster with the deployed RBAC, and people with the roles that clusters have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from kubernetes.aio.client import Configuration

from migctl.api.v1.app import create_v1
from migctl.backends.kubernetes.client.transport import ClusterAccess, Transport
from migctl.clock import system_clock
from migctl.cluster_api.process import ClusterApiSettings, cluster_service
from migctl.cluster_api.service import ClusterApiService
from tests.fakes.kubernetes_api.users import jwt
from tests.fakes.kubernetes_cluster.cluster import QUICK, FakeCluster
from tests.limits import WAIT_S

ACCOUNT = "system:serviceaccount:migctl-system:migctl-api"
CI = "system:serviceaccount:team-a:ci"
TOKENS: Mapping[str, str] = {
    "admin": "admin",
    "gpu-admin": "gpu-admin",
    "editor": "editor",
    "colleague": "colleague",
    "ci": jwt(CI, exp=4102444800),
    "viewer": "viewer",
    "outsider": "outsider",
    "nobody": "nobody",
}
"""editor, colleague and ci may edit team-a, viewer view it, outsider may edit team-b; gpu-admin has migctl-admin."""


@dataclass
class ManualTime:
    """A monotonic clock that stands still."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ServedCluster:
    """A cluster, the service of its API, and a client for each person."""

    cluster: FakeCluster
    service: ClusterApiService
    app: FastAPI
    time: ManualTime
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def __getitem__(self, user: str) -> httpx.AsyncClient:
        return self.clients[user]

    def passed(self) -> None:
        """No answer counts any more that was given so far."""
        self.time.now += 3600.0

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(WAIT_S):
            while not holds():
                await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def transport(url: str, token: str) -> AsyncIterator[Transport]:
    configuration = Configuration(host=url)
    configuration.api_key["BearerToken"] = f"Bearer {token}"
    async with Transport(ClusterAccess(configuration)) as opened:
        yield opened


def give_roles(cluster: FakeCluster) -> None:
    authorizer = cluster.operations.authorizer
    authorizer.let_run_gpus("gpu-admin")
    for person in ("editor", "colleague", CI):
        authorizer.let_edit(person, "team-a")
    authorizer.let_view("viewer", "team-a")
    authorizer.let_edit("outsider", "team-b")


@pytest.fixture
async def served() -> AsyncIterator[ServedCluster]:
    time = ManualTime()
    settings = ClusterApiSettings(name="here", watches=QUICK.watches)
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(FakeCluster().running())
        cluster.create("namespaces", {"metadata": {"name": "kube-system"}})
        give_roles(cluster)
        await stack.enter_async_context(cluster.controller())
        await cluster.node("node-a", "a100-40gb")
        for name in ("team-a", "team-b"):
            await cluster.project(name)
        own = await stack.enter_async_context(transport(cluster.server.url, "migctl-system:migctl-api"))
        service = await stack.enter_async_context(cluster_service(own, system_clock, settings, time))
        app = create_v1(service)
        app.state.closing = asyncio.Event()
        following = asyncio.create_task(service.view.run())
        served = ServedCluster(cluster, service, app, time)
        await served.until(lambda: service.view.synced)
        for user, token in (*TOKENS.items(), ("unknown", "")):
            client = httpx.AsyncClient(
                base_url="http://migctl",
                transport=httpx.ASGITransport(app, raise_app_exceptions=False),
                headers={"Authorization": f"Bearer {token}"} if token else {},
            )
            served.clients[user] = await stack.enter_async_context(client)
        yield served
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
