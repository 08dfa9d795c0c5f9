"""A burst of pods on a fake API server, and a controller that is a process: how soon their gates open.

    this process   fake API server with its permissions, claim controller, people who create pods one after another
    the other      python -m migctl.controller

A pod's time runs from its creation to the write that opens its gate, on this process's clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from migctl.backends.kubernetes.meaning import names
from tests.bench.kube import objects
from tests.fakes import manifests
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.rbac import Authorizer
from tests.fakes.kubernetes_api.server import FakeApi
from tests.fakes.kubernetes_api.storage import Json, Storage
from tests.fakes.kubernetes_api.users import ADMIN
from tests.fakes.kubernetes_cluster.claims import ClaimController
from tests.fakes.kubernetes_cluster.cluster import CONTROLLER
from tests.fakes.kubernetes_cluster.standin import changes, feed

GPUS = 512
PROFILES = ("1g.5gb", "2g.10gb", "3g.20gb")
MERGE = "application/merge-patch+json"
PATIENCE_S = 120.0


def fill(operations: Operations) -> None:
    """Nodes that are well, and a project with room for everything."""
    for name in ("migctl-system", "default"):
        operations.create(ADMIN, BY_PLURAL["namespaces"], "", {"metadata": {"name": name}})
    for n in range(GPUS // objects.EACH):
        for plural, make in (("nodes", objects.node), ("gpunodes", objects.gpu_node)):
            obj = make(f"node-{n:05}", 1)
            made = operations.create(ADMIN, BY_PLURAL[plural], "", obj)
            name, status = made["metadata"]["name"], {"status": obj["status"]}
            operations.patch(ADMIN, BY_PLURAL[plural], "", name, status, MERGE, "status")
    project = {"metadata": {"name": "team-a"}, "spec": {"quota": float(GPUS)}}
    operations.create(ADMIN, BY_PLURAL["projects"], "", project)


@contextlib.asynccontextmanager
async def controller(url: str) -> AsyncIterator[None]:
    """The real process, with the permissions of its service account."""
    with tempfile.TemporaryDirectory() as directory:
        kubeconfig = Path(directory) / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(url)))
        command = [sys.executable, "-m", "migctl.controller", "--kubeconfig", str(kubeconfig), "--port", "0"]
        process = await asyncio.create_subprocess_exec(*command, "--log-level", "error")
        try:
            yield
        finally:
            process.terminate()
            await process.wait()


def _kubeconfig(url: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": url}}],
        "users": [{"name": "controller", "user": {"token": f"{CONTROLLER}:bench"}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "controller"}}],
        "current-context": "bench",
    }


async def create(operations: Operations, pods: int) -> dict[str, float]:
    """When each pod was created, by name."""
    created = {}
    for i in range(pods):
        pod = manifests.pod(f"pod-{i}", {"migctl.dev/mig-profile": PROFILES[i % len(PROFILES)]})
        operations.create(ADMIN, BY_PLURAL["pods"], "team-a", pod)
        created[f"pod-{i}"] = time.perf_counter()
        await asyncio.sleep(0)
    return created


async def opened(operations: Operations, pods: int) -> dict[str, float]:
    """When each pod's gate was opened, by name."""
    found: dict[str, float] = {}
    async for change, pod in changes(operations, "pods"):
        gates = [gate["name"] for gate in pod["spec"].get("schedulingGates", [])]
        if change == "MODIFIED" and names.GATE not in gates:
            found.setdefault(pod["metadata"]["name"], time.perf_counter())
        if len(found) == pods:
            break
    return found


async def burst(pods: int) -> tuple[float, float]:
    """Pods per second from the first creation to the last gate, and the 99th percentile of their times in seconds."""
    operations = Operations(Storage(), Authorizer.of_manifests())
    server = FakeApi(operations)
    async with server.serving(), controller(server.url), asyncio.timeout(PATIENCE_S):
        fill(operations)
        feeding = asyncio.create_task(feed(operations, [ClaimController(operations)]))
        while operations.storage.get("resourceclaimtemplates", "team-a", "migctl-gpu") is None:
            await asyncio.sleep(0.05)
        hearing = asyncio.create_task(opened(operations, pods))
        created = await create(operations, pods)
        ends = await hearing
        feeding.cancel()
    took = [ends[name] - began for name, began in created.items()]
    return pods / (max(ends.values()) - min(created.values())), statistics.quantiles(took, n=100)[98]


if __name__ == "__main__":
    print(asyncio.run(burst(int(sys.argv[1]))))
