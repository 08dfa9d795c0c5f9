"""The process itself, and that its documentation says what its table says."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from migctl.access.rights import Verb
from migctl.cluster_api.permissions import TABLE, Permission
from tests.limits import WAIT_S
from tests.migctl.cluster_api.conftest import TOKENS, ServedCluster

DOCS = Path(__file__).parents[3] / "docs" / "access-on-kubernetes.md"


def test_the_documentation_has_the_table() -> None:
    rows = re.findall(r"^\| (\w+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    told = {
        (verb, kind): cell for kind, *cells in rows if kind != "kind" for verb, cell in zip(Verb, cells, strict=True)
    }
    assert {key: ", ".join(map(written, permissions)) for key, permissions in TABLE.items()} == {
        key: cell for key, cell in told.items() if cell != "-"
    }


def written(one: Permission) -> str:
    return f"{one.verb} {one.resource}" + (f".{one.group}" if one.group else "")


@pytest.mark.anyio
async def test_the_process_serves_until_it_is_told_to_end(served: ServedCluster, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        port, health = one.getsockname()[1], other.getsockname()[1]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": served.cluster.server.url}}],
        "users": [{"name": "api", "user": {"token": "migctl-system:migctl-api"}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "api"}}],
        "current-context": "fake",
    }
    (tmp_path / "config").write_text(json.dumps(config))
    options = ["--kubeconfig", str(tmp_path / "config"), "--host", "127.0.0.1", "--cluster-name", "lab"]
    ports = ["--port", str(port), "--health-port", str(health)]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "migctl.cluster_api", *options, *ports)
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(WAIT_S):
            while not await ready(client, health):
                assert process.returncode is None
                await asyncio.sleep(0.05)
            headers = {"Authorization": f"Bearer {TOKENS['editor']}"}
            (told,) = (await client.get(f"http://127.0.0.1:{port}/api/v1/clusters", headers=headers)).json()
            assert told["name"] == "lab"
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
    except httpx.TransportError:
        return False
