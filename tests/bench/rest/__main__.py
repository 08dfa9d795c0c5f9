"""What a page of the list of workloads costs at the server: `python -m tests.bench.rest`.

10,000 workloads of 20 projects, each with a pod; a page of 50 with a filter and an order of its own, for an admin and
for a researcher of half of the projects. Between two pages a pod changes, as in a busy cluster. The calibration is a
loop of plain Python, in milliseconds: what the machine was worth while this was measured.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from random import Random

import httpx
from fastapi import Request

from migctl.access.caller import OWNER, Caller
from migctl.api.admitting import AdmittingControlPlane
from migctl.api.v1.app import create_v1
from migctl.api.v1.service import ApiService, ClusterIdentity
from migctl.backends.mirror import Mirror
from migctl.garbage_collection import collect_rarely
from migctl.objects import (
    AccessScope,
    Claim,
    ClaimSpec,
    ClaimStatus,
    GpuRequest,
    Meta,
    Phase,
    Project,
    ProjectSpec,
    Role,
    RoleInScope,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
    WorkloadType,
)
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.fakes.runtime import FakeRuntime

WORKLOADS, PROJECTS, PAGES = 10_000, 20, 300
HALF = tuple(
    RoleInScope(role=Role.RESEARCHER, scope=AccessScope(project=f"team-{number}")) for number in range(PROJECTS // 2)
)
USERS = {"admin": OWNER, "researcher": HALF}
FILTERS = ("phase==Running", "type==Training", "name=@7", "allocatedGPU>=0.5", "createdAt>=2030-01-01T01:00:00Z")
ORDERS = ("createdAt", "name", "projectName", "allocatedGPU", "phase")


async def by_name(request: Request) -> Caller:
    """The user that the token names."""
    name = request.headers["authorization"].removeprefix("Bearer ")
    return Caller(name, USERS[name])


async def filled(behind: MemoryControlPlane, clock: ManualClock) -> None:
    """The projects, workloads and pods."""
    rng = Random(1)
    for number in range(PROJECTS):
        await behind.create(Project(meta=Meta(name=f"team-{number}"), spec=ProjectSpec(quota=8.0)))
    for number in range(WORKLOADS):
        clock.advance(1)
        project, phase = f"team-{number % PROJECTS}", rng.choice((Phase.RUNNING, Phase.PENDING, Phase.COMPLETED))
        made = await behind.create(
            Workload(
                meta=Meta(name=f"job-{number}", project=project),
                spec=WorkloadSpec(type=rng.choice(list(WorkloadType)), gpu_request=GpuRequest(fraction=0.5), user="u"),
                status=WorkloadStatus(phase=phase, running=int(phase is Phase.RUNNING)),
            )
        )
        share = DeviceShare("GPU-1", Backing.SOFTWARE, 0.5, 8080)
        held = Grant(f"node-{number % 100}", (share,)) if phase is Phase.RUNNING else None
        await behind.create(
            Claim(
                meta=Meta(name=f"job-{number}-0", project=project),
                spec=ClaimSpec(
                    workload=f"job-{number}", workload_uid=made.meta.uid, gpu_request=GpuRequest(fraction=0.5)
                ),
                status=ClaimStatus(phase=phase, allocation=held),
            )
        )


def calibration() -> float:
    """Milliseconds of a loop of plain Python."""
    start = time.perf_counter()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return (time.perf_counter() - start) * 1000


async def measured() -> list[float]:
    """Milliseconds of each page."""
    clock = ManualClock()
    behind = MemoryControlPlane(clock)
    await filled(behind, clock)
    mirror = Mirror(behind)
    await mirror.read()
    cluster = ClusterIdentity("0d4b8f3a-6a53-4a3c-9d0e-5b1f0e2c7a11", "here")
    app = create_v1(ApiService(AdmittingControlPlane(behind), mirror, FakeRuntime(), cluster, by_name, clock))
    claims = itertools.cycle(mirror.all(Claim))
    taken = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://migctl") as client:
        for number in range(PAGES):
            changed = await behind.patch(next(claims), {"status": {"reason": f"r{number}"}})
            await mirror.absorb(changed)
            query: dict[str, str | int] = {
                "filterBy": FILTERS[number % len(FILTERS)],
                "sortBy": ORDERS[number // len(FILTERS) % len(ORDERS)],
                "sortOrder": ("asc", "desc")[number % 2],
                "offset": number % 7 * 50,
                "limit": 50,
            }
            user = ("admin", "researcher")[number % 2]
            start = time.perf_counter()
            answer = await client.get("/workloads", params=query, headers={"Authorization": f"Bearer {user}"})
            taken.append((time.perf_counter() - start) * 1000)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["workloads"]) == 50
    return taken


def main() -> None:
    """Print the BENCH line."""
    collect_rarely()
    before = calibration()
    taken = asyncio.run(measured())[10:]
    p50, p99 = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
    loop = statistics.mean((before, calibration()))
    print(f"BENCH rest workloads={WORKLOADS} page_ms p50={p50:.1f} p99={p99:.1f} calibration_ms={loop:.1f}")


if __name__ == "__main__":
    main()
