"""A control plane in memory with the embedded controllers on it, and an agent that only takes notes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from migctl.backends.mirror import Mirror
from migctl.embedded.kubelet.processes import Processes
from migctl.embedded.kubelet.runner import Runner
from migctl.embedded.kubelet.workloads import WorkloadController
from migctl.embedded.runtime import EmbeddedRuntime
from migctl.objects import (
    Claim,
    GpuRequest,
    Meta,
    Phase,
    Workload,
    WorkloadSpec,
    WorkloadType,
    to_builtins,
)
from nodeagent.contract.allocation import Allocation, NodeReport, Prepared
from nodeagent.contract.environment import CLAIM as CLAIM_VARIABLE
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.limits import WAIT_S

GRANT = Grant("node-a", (DeviceShare("GPU-1", Backing.SOFTWARE, 0.5, 8080),))


@dataclass
class NotingAgent:
    """Records its calls; `held` survives it when it is passed to another one."""

    held: dict[str, Allocation] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def prepare(self, allocation: Allocation) -> Prepared:
        self.calls.append(f"prepare {allocation.name}")
        self.held[allocation.claim] = allocation
        return Prepared(allocation.claim, (), {"NVIDIA_VISIBLE_DEVICES": "GPU-1"})

    def prepared_for(self, claim: str) -> Prepared | None:
        return Prepared(claim, (), {"NVIDIA_VISIBLE_DEVICES": "GPU-1"}) if claim in self.held else None

    def unprepare(self, claim: str) -> None:
        self.calls.append("unprepare")
        self.held.pop(claim, None)

    def report(self) -> NodeReport:
        return NodeReport("node-a", "boot", len(self.calls), (), {}, tuple(self.held.values()))


@dataclass
class Machine:
    """The embedded controllers over one store, and what a test does to them."""

    runs: Path
    session: str
    boot: str = "boot"
    clock: ManualClock = field(default_factory=ManualClock)
    control_plane: MemoryControlPlane = field(init=False)
    agent: NotingAgent = field(default_factory=NotingAgent)

    def __post_init__(self) -> None:
        self.control_plane = MemoryControlPlane(uids=self.session)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[EmbeddedRuntime]:
        """With mirror, workload controller and runner at work; leaving is as abrupt as a kill."""
        mirror = Mirror(self.control_plane)
        runner = Runner(
            self.control_plane,
            mirror,
            self.agent,
            self.runs,
            self.clock,
            _no_report,
            grace_s=2.0,
            processes=Processes(boot=self.boot),
        )
        parts = [mirror.run(), WorkloadController(self.control_plane, mirror, self.clock).run(), runner.run()]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield EmbeddedRuntime(mirror, runner)
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, asyncio.CancelledError):
                    raise outcome

    async def submit(self, name: str, *command: str, **spec: object) -> Workload:
        fields = {
            "type": WorkloadType.TRAINING,
            "gpu_request": GpuRequest(fraction=0.5),
            "directory": str(self.runs),
            **spec,
        }
        return await self.control_plane.create(
            Workload(meta=Meta(name=name, project="team-a"), spec=WorkloadSpec(command=command, **fields))  # type: ignore[arg-type]
        )

    async def allocate(self, claim: Claim) -> Claim:
        return await self.control_plane.patch(claim, {"status": {"allocation": to_builtins(GRANT)}})

    async def claims(self) -> list[Claim]:
        return sorted((await self.control_plane.list(Claim)).items, key=lambda claim: claim.meta.name)

    async def claims_when(self, count: int, phase: Phase | None = None) -> list[Claim]:
        """The claims, once there are so many in that phase."""
        async with asyncio.timeout(WAIT_S):
            while True:
                found = [c for c in await self.claims() if phase is None or c.status.phase is phase]
                if len(found) == count:
                    return found
                await asyncio.sleep(0.01)

    async def workload_when(self, name: str, phase: Phase) -> Workload:
        """The workload, once it is in that phase."""
        async with asyncio.timeout(WAIT_S):
            while True:
                workload = await self.control_plane.get(Workload, name, "team-a")
                if workload.status.phase is phase:
                    return workload
                await asyncio.sleep(0.01)


async def _no_report() -> None:
    return


@pytest.fixture
def session() -> str:
    """Begins every claim's uid: processes are found by it all over the machine, where other tests may run."""
    return f"test-{uuid4()}"


@pytest.fixture
def machine(tmp_path: Path, session: str) -> Machine:
    return Machine(tmp_path, session)


@pytest.fixture(autouse=True)
def _no_process_stays_behind(session: str) -> Iterator[None]:
    yield
    for process in psutil.process_iter():
        if (claim_of(process) or "").startswith(session):
            process.kill()


def claim_of(process: psutil.Process) -> str | None:
    """The claim that a living process belongs to."""
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(CLAIM_VARIABLE)
    except psutil.Error:
        return None
