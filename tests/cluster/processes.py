"""The controller and the agent as processes with their own service accounts, and what they say when they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from migctl.backends.kubernetes.client.api import KubernetesApi
from tests.cluster.settings import Place

TOKEN_S = 7200


async def kubeconfig_of(api: KubernetesApi, place: Place, account: str, file: Path, node: str = "") -> Path:
    """A kubeconfig of a service account; with a node, its token is bound to it as a pod's would be."""
    bound: dict[str, Any] = {}
    if node:
        found = json.loads(await api.transport.request("GET", f"/api/v1/nodes/{node}"))
        bound = {"boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": found["metadata"]["uid"]}}
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_S, "audiences": [], **bound},
    }
    path = f"/api/v1/namespaces/migctl-system/serviceaccounts/{account}/token"
    answer = json.loads(await api.transport.request("POST", path, body=json.dumps(body).encode()))
    admin = yaml.safe_load(place.kubeconfig.read_text())
    current = next(c for c in admin["contexts"] if c["name"] == admin["current-context"])["context"]
    cluster = next(c for c in admin["clusters"] if c["name"] == current["cluster"])
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "own",
        "contexts": [{"name": "own", "context": {"cluster": cluster["name"], "user": "own"}}],
        "clusters": [cluster],
        "users": [{"name": "own", "user": {"token": answer["status"]["token"]}}],
    }
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    return file


@asynccontextmanager
async def process(log: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python module that runs until the block ends, or until it is killed."""
    with log.open("ab") as out:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *words, stdout=out, stderr=out, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
    try:
        yield started
        if started.returncode not in (None, -signal.SIGKILL, -signal.SIGTERM):
            raise AssertionError(f"{words[0]} ended by itself:\n{log.read_text()[-2000:]}")
    finally:
        if started.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                started.terminate()
            await started.wait()
