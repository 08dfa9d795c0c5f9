"""Clients of a fake API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes.aio.client import Configuration

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.transport import ClusterAccess, Transport
from tests.fakes.kubernetes_api.server import FakeApi


@asynccontextmanager
async def client(server: FakeApi, token: str = "admin") -> AsyncIterator[KubernetesApi]:
    """A KubernetesApi that authenticates as the token's user."""
    configuration = Configuration(host=server.url)
    configuration.api_key["BearerToken"] = f"Bearer {token}"
    async with Transport(ClusterAccess(configuration)) as transport:
        yield KubernetesApi(transport)
