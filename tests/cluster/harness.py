"""What a test does on a real cluster: projects, workloads, looking and waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.protocol import Conflict, NotFound
from tests.cluster import processes
from tests.cluster.settings import Place

Json = dict[str, Any]
LIMIT_S = 60.0
ROOTS = {
    "pods": "/api/v1",
    "events": "/api/v1",
    "nodes": "/api/v1",
    "namespaces": "/api/v1",
    "jobs": "/apis/batch/v1",
    "statefulsets": "/apis/apps/v1",
    "resourceclaims": "/apis/resource.k8s.io/v1",
    "resourceclaimtemplates": "/apis/resource.k8s.io/v1",
    "projects": "/apis/migctl.dev/v1alpha1",
    "gpunodes": "/apis/migctl.dev/v1alpha1",
    "placementplans": "/apis/migctl.dev/v1alpha1",
}
WHOLE_CLUSTER = ("nodes", "namespaces", "projects", "gpunodes", "placementplans")


class Harness:
    """One test's cluster. `prefix` keeps its projects apart from everybody else's."""

    def __init__(self, api: KubernetesApi, place: Place, node: str, folder: Path, prefix: str) -> None:
        self.api = api
        self.place = place
        self.node = node
        self.folder = folder
        self._prefix = prefix
        self._stack = AsyncExitStack()
        self.agent: asyncio.subprocess.Process | None = None
        self.controller: asyncio.subprocess.Process | None = None
        self._gpus = ""
        self._projects: list[str] = []

    def namespace(self, project: str) -> str:
        return f"{self._prefix}-{project}"

    async def start_controller(self) -> None:
        config = await processes.kubeconfig_of(
            self.api, self.place, "migctl-controller", self.folder / "controller.kubeconfig"
        )
        words = ("migctl.controller", "--kubeconfig", str(config), "--port", "0", "--host", "127.0.0.1")
        self.controller = await self._stack.enter_async_context(
            processes.process(self.folder / "controller.log", *words, "--identity", "test")
        )

    async def start_agent(self, gpus: str | None = None) -> None:
        """The agent with simulated GPUs; without a spec, the ones it had."""
        self._gpus = gpus or self._gpus
        config = await processes.kubeconfig_of(
            self.api, self.place, "migctl-agent", self.folder / "agent.kubeconfig", self.node
        )
        state = self.folder / "agent-state"
        words = ["nodeagent", "--kubeconfig", str(config), "--node-name", self.node, "--simulate", self._gpus]
        words += ["--state-dir", str(state), "--kubelet-root", str(self.place.kubelet_root)]
        words += ["--cdi-dir", str(self.place.cdi_dir), "--port", "0", "--host", "127.0.0.1"]
        self.agent = await self._stack.enter_async_context(processes.process(self.folder / "agent.log", *words))
        await self.until(self._reported)

    async def _reported(self) -> bool:
        node = await self.find("gpunodes", self.node)
        return bool(node and node.get("status", {}).get("ready"))

    async def kill(self, victim: asyncio.subprocess.Process | None) -> None:
        assert victim is not None
        victim.kill()
        await victim.wait()

    async def project(self, name: str, quota: float) -> str:
        """A project whose namespace is ready; the namespace's name."""
        namespace = self.namespace(name)
        body = {"apiVersion": "migctl.dev/v1alpha1", "kind": "Project", "metadata": {"name": namespace}}
        await self._write("POST", "projects", "", "", {**body, "spec": {"quota": quota}})
        self._projects.append(namespace)

        async def ready() -> bool:
            return await self.find("resourceclaimtemplates", "migctl-gpu", namespace) is not None

        await self.until(ready)
        await self.until(lambda: self._admits(namespace))
        return namespace

    async def _admits(self, namespace: str) -> bool:
        """Whether the API server evaluates the policies: it reads them a moment after they are applied."""
        spec = {"containers": [{"name": "c", "image": self.place.image}]}
        probe = {"metadata": {"name": "probe", "annotations": {"gpu-fraction": "0.5"}}, "spec": spec}
        with contextlib.suppress(NotFound, Conflict):
            answer = await self.create("pods", namespace, probe, dry_run=True)
            return bool(answer["spec"].get("schedulingGates"))
        return False

    async def close(self) -> None:
        """Everything of this test's goes."""
        for namespace in self._projects:
            with contextlib.suppress(NotFound):
                await self._write("DELETE", "projects", "", namespace)
        for namespace in self._projects:
            await self.until(lambda namespace=namespace: self._gone("namespaces", namespace))  # type: ignore[misc]
        await self._stack.aclose()
        with contextlib.suppress(NotFound):
            await self._write("DELETE", "gpunodes", "", self.node)
        for plan in await self.all("placementplans"):
            with contextlib.suppress(NotFound):
                await self._write("DELETE", "placementplans", "", plan["metadata"]["name"])

    async def _gone(self, plural: str, name: str, namespace: str = "") -> bool:
        return await self.find(plural, name, namespace) is None

    async def create(self, plural: str, namespace: str, body: Json, *, dry_run: bool = False) -> Json:
        query = {"dryRun": "All"} if dry_run else {}
        kind = {"pods": "Pod", "jobs": "Job", "statefulsets": "StatefulSet"}[plural]
        full = {"apiVersion": ROOTS[plural].split("/", 2)[2], "kind": kind, **body}
        return await self._write("POST", plural, namespace, "", full, query)

    async def delete(self, plural: str, namespace: str, name: str) -> None:
        await self._write("DELETE", plural, namespace, name, {"propagationPolicy": "Background"})

    async def find(self, plural: str, name: str, namespace: str = "") -> Json | None:
        with contextlib.suppress(NotFound):
            found: Json = json.loads(await self.api.transport.request("GET", _path(plural, namespace, name)))
            return found
        return None

    async def all(self, plural: str, namespace: str = "") -> list[Json]:
        items: list[Json] = json.loads(await self.api.transport.request("GET", _path(plural, namespace, "")))["items"]
        return items

    async def pod_of(self, namespace: str, workload: str) -> Json | None:
        """The newest pod of a workload."""
        pods = [p for p in await self.all("pods", namespace) if p["metadata"]["name"].startswith(workload)]
        return max(pods, key=lambda p: str(p["metadata"]["creationTimestamp"]), default=None)

    async def phase(self, namespace: str, workload: str) -> str:
        pod = await self.pod_of(namespace, workload)
        return str(pod["status"].get("phase")) if pod else ""

    async def waits_with(self, namespace: str, workload: str) -> str:
        """Why a workload's pod waits, "" where it does not."""
        pod = await self.pod_of(namespace, workload)
        conditions = pod["status"].get("conditions", []) if pod else []
        said: Json = next((c for c in conditions if c["type"] == "migctl.dev/Placed"), {})
        return f"{said['reason']}: {said['message']}" if said.get("status") == "False" else ""

    async def running(self, namespace: str, *workloads: str) -> None:
        for workload in workloads:
            await self.until(lambda name=workload: self._runs(namespace, name))  # type: ignore[misc]

    async def _runs(self, namespace: str, workload: str) -> bool:
        return await self.phase(namespace, workload) == "Running"

    async def log(self, namespace: str, workload: str, container: str = "main") -> str:
        pod = await self.pod_of(namespace, workload)
        assert pod is not None
        path = _path("pods", namespace, pod["metadata"]["name"]) + "/log"
        return (await self.api.transport.request("GET", path, {"container": container})).decode()

    async def shares(self, namespace: str) -> dict[str, Json]:
        """The first share of each pod that has one, by pod."""
        found = {}
        for claim in await self.all("resourceclaims", namespace):
            allocation = claim.get("status", {}).get("allocation")
            if allocation:
                shares = allocation["devices"]["config"][0]["opaque"]["parameters"]["devices"]
                found[claim["metadata"]["ownerReferences"][0]["name"]] = shares[0]
        return found

    async def report(self) -> Json:
        node = await self.find("gpunodes", self.node)
        assert node is not None
        report: Json = node["status"]["report"]
        return report

    async def until(self, holds: Callable[[], Awaitable[bool]], reserve_after_s: float = LIMIT_S) -> None:
        """Wait for something to become true. It is a real cluster: there is nothing to be told by."""
        deadline = time.monotonic() + reserve_after_s
        while not await holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not true within {reserve_after_s:.0f} s; logs: {self.folder}")
            await asyncio.sleep(0.1)

    async def _write(
        self, method: str, plural: str, namespace: str, name: str, body: Json | None = None, query: Any = None
    ) -> Json:
        encoded = json.dumps(body).encode() if body is not None else None
        answer: Json = json.loads(
            await self.api.transport.request(method, _path(plural, namespace, name), query, encoded)
        )
        return answer


def _path(plural: str, namespace: str, name: str) -> str:
    inside = "" if plural in WHOLE_CLUSTER or not namespace else f"/namespaces/{namespace}"
    return f"{ROOTS[plural]}{inside}/{plural}" + (f"/{name}" if name else "")
