"""What the controller costs while many claims wait: `python -m tests.bench.controller`.

reasons  why all of them wait, made off the event loop: CPU seconds, and the longest stall of the loop in a whole cycle
writes   patches of claims after one of many that hold the same has ended, and one that waits has taken its room
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import structlog

from migctl.garbage_collection import collect_rarely
from migctl.objects import Claim, GpuRequest
from migctl.solver_process.planning import plan
from solver.model.cluster import Gpu
from solver.model.plan import Plan
from solver.model.reasons import Unplaced
from solver.model.snapshot import Policy, Snapshot
from tests.bench.fleet import fleet
from tests.migctl.controller.driven import A100, Cluster

GPUS_PER_NODE = 8
GPUS, PENDING = 4000, 8000
WAITING = 1000
BEAT_S = 0.005


def main() -> None:
    collect_rarely()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    cpu_s, unplaced = reasons(fleet(GPUS, PENDING))
    stall_ms = asyncio.run(stall(GPUS, PENDING))
    print(
        f"BENCH reasons gpus={GPUS} pending={PENDING} unplaced={unplaced} cpu_s={cpu_s:.2f}"
        f" loop_stall_ms={stall_ms:.0f}",
        flush=True,
    )
    patches = asyncio.run(writes(WAITING))
    print(f"BENCH writes waiting={WAITING} changed=1 patches={patches.total()} {dict(patches)}", flush=True)


def reasons(snapshot: Snapshot) -> tuple[float, int]:
    """CPU seconds for the reasons of all that a plan leaves waiting, and how many they are."""
    decided = plan(snapshot, Policy(wall_clock_s=60.0))
    begin = time.process_time()
    unplaced = sum(isinstance(outcome, Unplaced) for outcome in decided.outcomes.values())
    return time.process_time() - begin, unplaced


async def stall(gpus: int, pending: int) -> float:
    """The longest time for which the loop of a controller answers nothing, in ms, in one cycle on a full cluster."""
    cluster = await full(gpus, GpuRequest(profile="2g.10gb"), 3)
    async with cluster.watching():
        await cluster.controller.cycle(cluster.applier)
        for number in range(pending):
            odd = GpuRequest(profile="3g.20gb", devices=1 + number % 4)
            await cluster.claim(f"w{number}", odd if number % 2 else GpuRequest(memory_mib=10000 + 40 * (number % 150)))
        await asyncio.sleep(0.5)
        longest = [0.0]
        beating = asyncio.create_task(_beat(longest))
        await asyncio.sleep(BEAT_S * 4)
        longest[0] = 0.0
        await cluster.controller.cycle(cluster.applier)
        beating.cancel()
    return longest[0] * 1000


async def _beat(longest: list[float]) -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(BEAT_S)
        now = time.perf_counter()
        longest[0], last = max(longest[0], now - last - BEAT_S), now


async def writes(waiting: int) -> Counter[str]:
    """Patches by kind after one of the claims that hold a share has ended."""
    cluster = await full(GPUS_PER_NODE, GpuRequest(profile="3g.20gb"), 0)
    patches: Counter[str] = Counter()
    patch = cluster.control_plane.patch

    async def counted(obj: Any, changes: Mapping[str, Any], *, fenced: bool = False) -> Any:
        patches[type(obj).__name__] += 1
        return await patch(obj, changes, fenced=fenced)

    async with cluster.watching():
        for number in range(waiting):
            await cluster.claim(f"w{number}", GpuRequest(profile="7g.40gb" if number % 2 else "3g.20gb"))
        await cluster.converge()
        claims = (await cluster.control_plane.list(Claim)).items
        ended = next(claim for claim in claims if claim.status.allocation)
        await cluster.control_plane.delete(ended)
        ended = await cluster.control_plane.get(Claim, ended.meta.name, ended.meta.project)
        await patch(ended, {"meta": {"finalizers": []}})
        cluster.control_plane.patch = counted  # type: ignore[method-assign]
        await cluster.converge()
    return patches


async def full(gpus: int, gpu_request: GpuRequest, per_gpu: int) -> Cluster:
    """A cluster in MIG mode with so many claims a GPU."""
    cluster = Cluster()
    cluster.controller.planner, cluster.controller.policy = _planned, Policy(wall_clock_s=30.0)
    await cluster.project(quota=float(gpus))
    for node in range(gpus // GPUS_PER_NODE):
        uuids = (f"GPU-{node}-{index}" for index in range(GPUS_PER_NODE))
        cards = (Gpu(uuid, f"node-{node}", i, A100.id, A100.memory_mib, mig=True) for i, uuid in enumerate(uuids))
        await cluster.node(*cards, name=f"node-{node}")
    for number in range(gpus * per_gpu):
        await cluster.claim(f"h{number}", gpu_request)
    return cluster


def _planned(snapshot: Snapshot, policy: Policy) -> Plan:
    return plan(snapshot, policy)


if __name__ == "__main__":
    main()
