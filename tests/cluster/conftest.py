"""A real cluster with migctl on it, for as long as the suite runs."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.transport import Transport, from_kubeconfig
from tests.cluster import installation
from tests.cluster.harness import Harness
from tests.cluster.settings import Place, place


@pytest.fixture(scope="session")
def where() -> Iterator[Place]:
    """The place to test at, with migctl's manifests applied."""
    found = place()
    if found is None:
        pytest.skip("no cluster: set MIGCTL_TEST_KUBECONFIG (see tests/cluster/settings.py)")
    asyncio.run(_prepare(found))
    yield found
    asyncio.run(_clean(found))


async def _prepare(found: Place) -> None:
    async with Transport(await from_kubeconfig(str(found.kubeconfig))) as transport:
        api = KubernetesApi(transport)
        if await installation.runs_already(api):
            pytest.exit("this cluster runs migctl already: the suite would take it away", returncode=2)
        await installation.install(api)


async def _clean(found: Place) -> None:
    async with Transport(await from_kubeconfig(str(found.kubeconfig))) as transport:
        await installation.uninstall(KubernetesApi(transport))


@pytest.fixture
async def cluster(where: Place, tmp_path: Path) -> AsyncIterator[Harness]:
    """A controller; tests start the agent with the GPUs they need."""
    async with Transport(await from_kubeconfig(str(where.kubeconfig))) as transport:
        api = KubernetesApi(transport)
        harness = Harness(api, where, await _node(api, where), tmp_path, f"mt{secrets.token_hex(2)}")
        await harness.start_controller()
        try:
            yield harness
        finally:
            await harness.close()


async def _node(api: KubernetesApi, where: Place) -> str:
    if where.node:
        return where.node
    nodes = json.loads(await api.transport.request("GET", "/api/v1/nodes"))["items"]
    assert len(nodes) == 1, "name the node whose kubelet is on this machine: MIGCTL_TEST_NODE"
    return str(nodes[0]["metadata"]["name"])
