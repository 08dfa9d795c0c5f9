"""A cluster in memory whose controller is driven cycle by cycle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from migctl.backends.mirror import Mirror
from migctl.controller import observe
from migctl.controller.apply import Verdict
from migctl.controller.loop import Controller
from migctl.objects import Claim, ClaimSpec, Event, GpuNode, GpuRequest, Meta, Project, ProjectSpec, to_builtins
from nodeagent.contract.allocation import NodeReport
from solver import planner
from solver.model.catalog import find
from solver.model.cluster import Gpu, Instance
from solver.model.plan import Plan
from solver.model.snapshot import Policy
from tests.fakes.control_plane import ManualClock, MemoryControlPlane

A100 = find("a100-40gb")
V100 = find("v100")
PROFILE_2G = GpuRequest(profile="2g.10gb")


@dataclass
class Cluster:
    """One node, a control plane in memory and the controller, driven cycle by cycle."""

    clock: ManualClock = field(default_factory=ManualClock)
    control_plane: MemoryControlPlane = field(default_factory=MemoryControlPlane)

    def __post_init__(self) -> None:
        self.mirror = Mirror(self.control_plane)
        self.controller = Controller(self.control_plane, self.mirror, self.clock, planner.plan, Policy())
        self.applier = self.controller.applier()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.mirror.run())
        seen = -1
        while not self.mirror.synced:
            seen = await self.mirror.wait(seen)
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def node(self, *gpus: Gpu, name: str = "node-a") -> GpuNode:
        report = NodeReport(name, "boot", 1, gpus, {A100.id: A100, V100.id: V100})
        node = await self.control_plane.create(GpuNode(meta=Meta(name=name)))
        return await self.control_plane.patch(node, {"status": {"report": to_builtins(report), "ready": True}})

    async def project(self, quota: float = 2.0) -> None:
        await self.control_plane.create(Project(meta=Meta(name="team-a"), spec=ProjectSpec(quota=quota)))

    async def claim(self, name: str, gpu_request: GpuRequest, **spec: Any) -> Claim:
        made = ClaimSpec(workload=name, workload_uid=name, gpu_request=gpu_request, **spec)
        return await self.control_plane.create(
            Claim(meta=Meta(name=f"{name}-0-0", project="team-a", finalizers=("processes",)), spec=made)
        )

    async def converge(self) -> None:
        """Let watch events arrive, then decide until nothing changes any more."""
        for _ in range(20):
            await asyncio.sleep(0)
            before = await self.version()
            await asyncio.sleep(0.001)
            await self.controller.cycle(self.applier)
            assert self.controller.observe() == observe.snapshot(self.mirror, self.clock()), "it keeps what changed"
            if await self.version() == before:
                return
        raise AssertionError("the loop does not come to rest")

    async def apply(self, plan: Plan) -> dict[int, Verdict]:
        """Carry out a plan on the cluster as the mirror shows it."""
        return await self.applier.apply(plan, self.controller.observe())

    async def version(self) -> str:
        """The store's newest revision: it moves with every write of any kind."""
        return (await self.control_plane.list(Event)).version

    async def places(self) -> dict[str, tuple[str | None, int | None]]:
        return {
            c.spec.workload: (c.status.allocation.devices[0].profile, c.status.allocation.devices[0].start)
            for c in (await self.control_plane.list(Claim)).items
            if c.status.allocation is not None
        }

    async def get(self, name: str) -> Claim:
        return await self.control_plane.get(Claim, f"{name}-0-0", "team-a")


def a100(*instances: Instance) -> Gpu:
    return Gpu("GPU-a", "node-a", 0, A100.id, A100.memory_mib, mig=True, instances=instances)


def v100(uuid: str = "GPU-v", node: str = "node-a") -> Gpu:
    return Gpu(uuid, node, 1, V100.id, V100.memory_mib)


async def three_trainings(cluster: Cluster) -> None:
    await cluster.node(a100())
    await cluster.project()
    for name in ("a", "b", "c"):
        await cluster.claim(name, PROFILE_2G)
