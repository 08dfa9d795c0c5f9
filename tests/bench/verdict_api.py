"""What a verdict before sending costs on a large cluster: `python -m tests.bench.verdict_api`.

10,000 GPUs in the middle of a day (tests.bench.fleet), as the daemon has them: cached objects behind the socket's API,
with and without pods that wait. One verdict after another is asked for over the socket, and before each the cluster
changes: a pod ends, the node's agent says so. A loop of plain Python says how fast the machine was meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from types import MappingProxyType

import structlog

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app
from migctl.api.server import serving
from migctl.backends.http.client import RemoteControlPlane
from migctl.backends.mirror import Mirror
from migctl.controller.observe import Observer
from migctl.garbage_collection import collect_rarely
from migctl.objects import (
    Claim,
    ClaimSpec,
    ClaimStatus,
    GpuNode,
    GpuRequest,
    Meta,
    NodeSpec,
    NodeStatus,
    Phase,
    Project,
    ProjectSpec,
    Workload,
    WorkloadSpec,
    WorkloadType,
    to_builtins,
)
from migctl.solver_process.planning import KeptPlanner
from migctl.verdicts.live import Verdicts
from nodeagent.contract.allocation import NodeReport
from solver.model.cluster import Gpu
from solver.model.demand import Demand, Fraction, Grant, Memory, MigProfile
from solver.model.occupation import vacated
from solver.model.snapshot import Snapshot
from tests.bench.fleet import PROJECTS, fleet
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.fakes.runtime import FakeRuntime

GPUS, VERDICTS = 10_000, 150
WAITING = (0, 40)
ASKS = (
    *(GpuRequest(fraction=portion) for portion in (0.1, 0.25, 0.5)),
    *(GpuRequest(memory_mib=mib) for mib in (4769, 9537, 19_074, 38_147)),
    *(GpuRequest(profile=profile) for profile in ("1g.5gb", "2g.10gb", "3g.20gb", "7g.40gb", "1g.10gb", "3g.71gb")),
    *(GpuRequest(devices=devices) for devices in (1, 2, 8)),
)
LOOP = 100_000


class Day:
    """The cluster as objects."""

    def __init__(self, rng: Random) -> None:
        self.rng, self.clock = rng, ManualClock()
        self.store = MemoryControlPlane(self.clock, log_length=100)
        self.mirror = Mirror(self.store)
        self.verdicts = Verdicts(self.mirror, self.clock, KeptPlanner(), Observer(self.mirror))
        self.running: list[Claim] = []

    async def begin(self, state: Snapshot, waiting: int) -> None:
        """Store what the snapshot has."""
        for project in state.projects:
            spec = ProjectSpec(quota=project.default.quota)
            await self.store.create(Project(meta=Meta(name=project.name), spec=spec))
        uids: dict[str, str] = {}
        for holding in state.held:
            request = holding.request
            claim = await self._claim(request.claim, request.project, request.demand, holding.grant)
            uids[request.claim] = claim.meta.uid
            self.running.append(claim)
        on: dict[str, list[Gpu]] = {}
        for gpu in state.gpus:
            on.setdefault(gpu.node, []).append(_renamed(gpu, uids))
        for node in state.nodes:
            cards = tuple(on[node.name])
            models = MappingProxyType({gpu.model: state.models[gpu.model] for gpu in cards})
            status = NodeStatus(report=NodeReport(node.name, "boot", 1, cards, models), ready=True)
            await self.store.create(GpuNode(meta=Meta(name=node.name), spec=NodeSpec(pool=node.pool), status=status))
        for number in range(waiting):
            await self._claim(f"waits-{number}", self.rng.choice(PROJECTS), MigProfile("7g.40gb", 8), None)

    async def _claim(self, name: str, project: str, demand: Demand, grant: Grant | None) -> Claim:
        status = ClaimStatus(phase=Phase.RUNNING if grant else Phase.PENDING, allocation=grant)
        spec = ClaimSpec(workload=name, workload_uid=name, gpu_request=_request(demand))
        return await self.store.create(Claim(meta=Meta(name=name, project=project), spec=spec, status=status))

    async def change(self) -> None:
        """A pod ends, and its node's agent says so."""
        claim = self.running.pop(self.rng.randrange(len(self.running)))
        grant = claim.status.allocation
        assert grant is not None
        await self.store.delete(claim)
        node = await self.store.get(GpuNode, grant.node)
        report = node.status.report
        assert report is not None
        gone = {share.gpu for share in grant.devices}
        gpus = tuple(vacated(gpu, claim.meta.uid) if gpu.uuid in gone else gpu for gpu in report.gpus)
        await self.store.patch(node, {"status": {"report": to_builtins(replace(report, gpus=gpus))}})
        await asyncio.sleep(0.005)

    def workload(self, number: int) -> Workload:
        """Something to ask about."""
        kind = WorkloadType.TRAINING if number % 4 else WorkloadType.WORKSPACE
        spec = WorkloadSpec(type=kind, gpu_request=ASKS[number % len(ASKS)], preemptible=bool(number % 4))
        return Workload(meta=Meta(name=f"new-{number}", project=self.rng.choice(PROJECTS)), spec=spec)


def _request(demand: Demand) -> GpuRequest:
    match demand:
        case MigProfile():
            return GpuRequest(profile=demand.profile, devices=demand.devices)
        case Memory():
            return GpuRequest(memory_mib=demand.mib, devices=demand.devices)
        case Fraction():
            return GpuRequest(fraction=demand.portion, devices=demand.devices)
    return GpuRequest(devices=demand.devices)


def _renamed(gpu: Gpu, uids: dict[str, str]) -> Gpu:
    instances = tuple(replace(i, claim=uids[i.claim]) if i.claim else i for i in gpu.instances)
    parts = tuple(replace(part, claim=uids[part.claim]) for part in gpu.parts)
    return replace(gpu, instances=instances, parts=parts, held_by=uids[gpu.held_by] if gpu.held_by else None)


def calibration() -> float:
    """Milliseconds of a loop of plain Python, now."""
    begin, total = time.perf_counter(), 0
    for number in range(LOOP):
        total += number & 7
    return (time.perf_counter() - begin) * 1000


async def measured(waiting: int) -> None:
    """One BENCH line."""
    day = Day(Random(1))
    await day.begin(fleet(GPUS, 0), waiting)
    following = asyncio.create_task(day.mirror.run())
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        app = create_app(AdmittingControlPlane(day.store), FakeRuntime(), verdict=day.verdicts)
        async with serving(app, socket):
            remote = RemoteControlPlane(socket)
            while not day.mirror.synced:
                await asyncio.sleep(0.01)
            begin = time.perf_counter()
            await remote.verdict(day.workload(0))
            first = (time.perf_counter() - begin) * 1000
            taken, loops, said = [], [], Counter[str]()
            for number in range(VERDICTS):
                await day.change()
                loops.append(calibration())
                begin = time.perf_counter()
                verdict = await remote.verdict(day.workload(number))
                taken.append((time.perf_counter() - begin) * 1000)
                said[verdict.prospect] += 1
    following.cancel()
    p50, p99 = (statistics.quantiles(taken, n=100, method="inclusive")[i] for i in (49, 98))
    print(
        f"BENCH verdict gpus={GPUS} ms p50={p50:.0f} p99={p99:.0f} first={first:.0f} running={len(day.running)}"
        f" waiting={waiting} verdicts={VERDICTS} {' '.join(f'{k}={v}' for k, v in sorted(said.items()))}"
        f" loop_ms={statistics.median(loops):.1f}",
        flush=True,
    )


def main() -> None:
    collect_rarely()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for waiting in WAITING:
        asyncio.run(measured(waiting))


if __name__ == "__main__":
    main()
