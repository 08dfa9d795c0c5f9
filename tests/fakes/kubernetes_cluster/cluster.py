"""A whole cluster in one process: fake API server, stand-ins, agents, and controllers over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from migctl.backends.kubernetes.cache.reflector import Timing
from migctl.clock import Clock, system_clock
from migctl.controller.kubernetes.claims.placed_pods import PlacementTimeouts
from migctl.controller.kubernetes.leader_election import LeaseTiming
from migctl.controller.kubernetes.process import ControllerSettings, KubernetesController
from migctl.controller.kubernetes.snapshot import KubernetesObserver
from migctl.solver_process.planning import plan
from solver.model.catalog import find
from solver.model.cluster import Gpu
from tests.fakes.clients import client
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.rbac import Authorizer
from tests.fakes.kubernetes_api.server import FakeApi
from tests.fakes.kubernetes_api.storage import Json, Storage
from tests.fakes.kubernetes_api.users import ADMIN
from tests.fakes.kubernetes_cluster.agent import FakeAgent
from tests.fakes.kubernetes_cluster.claims import ClaimController
from tests.fakes.kubernetes_cluster.kubelet import Kubelet
from tests.fakes.kubernetes_cluster.scheduler import Scheduler
from tests.fakes.kubernetes_cluster.standin import StandIn, feed
from tests.fakes.kubernetes_cluster.workloads import GarbageCollector, WorkloadControllers
from tests.limits import WAIT_S

CONTROLLER = "migctl-system:migctl-controller"
AGENT = "migctl-system:migctl-agent"
BIND_S = 3.0
"""A pod that cannot be bound is taken back, and its node left out for a minute: well inside WAIT_S."""
QUICK = ControllerSettings(
    watches=Timing(page=100, pause_s=0.02, longest_pause_s=0.1, audit_s=2.0, silence_s=5.0),
    lease=LeaseTiming(duration_s=0.6, step_down_s=0.4, renew_s=0.1),
    timeouts=PlacementTimeouts(nudge_s=0.2, longest_nudge_s=1.0, bind_s=BIND_S, give_up_s=WAIT_S, look_again_s=0.05),
)
"""Looks often and gives nothing up: a busy machine must not look like an agent that cannot prepare."""


class FakeCluster:
    """One cluster. `nodes` run a kubelet and an agent each; pods end as `ends` says."""

    def __init__(self) -> None:
        self.operations = Operations(Storage(), Authorizer.of_manifests())
        self.server = FakeApi(self.operations)
        self.agents: dict[str, FakeAgent] = {}
        self.kubelets: dict[str, Kubelet] = {}
        self.ends: Callable[[Json], int | None] = lambda pod: None
        self._stack = AsyncExitStack()
        self._stand_ins: list[StandIn] = []
        self.scheduler = Scheduler(self.operations)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeCluster]:
        async with self._stack:
            await self._stack.enter_async_context(self.server.serving())
            for name in ("migctl-system", "default"):
                self.create("namespaces", {"metadata": {"name": name}})
            self._stand_ins += [
                ClaimController(self.operations),
                WorkloadControllers(self.operations),
                GarbageCollector(self.operations),
                self.scheduler,
            ]
            await self._background(feed(self.operations, self._stand_ins))
            yield self

    async def node(self, name: str, *models: str, mig: bool = True, **fields: Any) -> FakeAgent:
        """A node with GPUs of the models, its kubelet and its agent."""
        self.create(
            "nodes",
            {
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **fields.get("labels", {})}},
                "spec": {"taints": fields.get("taints", [])},
            },
            status={
                "allocatable": {"cpu": fields.get("cpu", "64"), "memory": "256Gi"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        )
        gpus = []
        for index, wanted in enumerate(models):
            model = find(wanted)
            uuid = f"GPU-{name}-{index}"
            gpus.append(Gpu(uuid, name, index, model.id, model.memory_mib, mig=mig and bool(model.units)))
        api = await self._stack.enter_async_context(client(self.server, f"{AGENT}:{name}"))
        agent = self.agents[name] = FakeAgent(api, name, tuple(gpus))
        kubelet = self.kubelets[name] = Kubelet(self.operations, name, agent, lambda pod: self.ends(pod))
        self._stand_ins.append(kubelet)
        await self._background(agent.run())
        return agent

    @asynccontextmanager
    async def controller(
        self, identity: str = "one", settings: ControllerSettings = QUICK, clock: Clock = system_clock
    ) -> AsyncIterator[KubernetesController]:
        """A controller with its own connection; it dies as a killed process does when the block ends."""
        wanted = dataclasses.replace(settings, identity=identity)
        async with client(self.server, f"{CONTROLLER}:{identity}") as api:
            controller = KubernetesController(api, clock, plan, wanted)
            task = asyncio.create_task(controller.run())
            try:
                yield controller
                now = system_clock()
                assert KubernetesObserver(controller.cluster, controller.heartbeats)(now) == controller.observe(now), (
                    "it keeps what changed"
                )
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def create(self, plural: str, obj: Json, namespace: str = "", status: Json | None = None) -> Json:
        created = self.operations.create(ADMIN, BY_PLURAL[plural], namespace, obj)
        if status is not None:
            kind, patch = BY_PLURAL[plural], {"status": status}
            name = created["metadata"]["name"]
            created = self.operations.patch(
                ADMIN, kind, namespace, name, patch, "application/merge-patch+json", "status"
            )
        return created

    def allocate(self, claim: Json, allocation: Json) -> None:
        """Allocate a claim by hand, protected as the controller does it."""
        kind, meta = BY_PLURAL["resourceclaims"], claim["metadata"]
        protected = {"metadata": {"finalizers": ["resource.kubernetes.io/delete-protection"]}}
        for patch, subresource in ((protected, ""), ({"status": {"allocation": allocation}}, "status")):
            self.operations.patch(
                ADMIN, kind, meta["namespace"], meta["name"], patch, "application/merge-patch+json", subresource
            )

    async def project(self, name: str, quota: float = 8.0) -> None:
        """A project whose namespace is ready."""
        self.create("projects", {"metadata": {"name": name}, "spec": {"quota": quota}})
        templates = ("migctl-gpu", "migctl-gpu-containers")
        await self.until(lambda: all(self.get("resourceclaimtemplates", one, name) is not None for one in templates))

    def relabel(self, plural: str, name: str, label: str, value: str | None, namespace: str = "") -> None:
        patch = {"metadata": {"labels": {label: value}}}
        self.operations.patch(ADMIN, BY_PLURAL[plural], namespace, name, patch, "application/merge-patch+json")

    def get(self, plural: str, name: str, namespace: str = "") -> Json | None:
        return self.operations.storage.get(plural, namespace, name)

    def delete(self, plural: str, name: str, namespace: str = "", **options: Any) -> None:
        self.operations.delete(BY_PLURAL[plural], namespace, name, options)

    def pods(self, namespace: str = "") -> Iterator[Json]:
        return self.operations.storage.all("pods", namespace)

    def phases(self, namespace: str = "") -> dict[str, str]:
        return {p["metadata"]["name"]: p["status"].get("phase", "") for p in self.pods(namespace)}

    async def until(self, holds: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Wait for something to become true, looking whenever anything changes."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                await asyncio.sleep(0.01)

    async def _background(self, work: Any) -> None:
        task = asyncio.create_task(work)

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(stop)
