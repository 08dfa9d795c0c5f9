"""What a decision writes: what has changed, in small objects, and nothing that grows with all who wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from migctl.controller import publish
from migctl.controller.names import Names
from migctl.objects import Claim, GpuRequest, PlacementPlan, encode
from solver import planner
from solver.model.cluster import Gpu, Node
from solver.model.demand import Fraction, MigProfile, Request
from solver.model.plan import Outcome, Plan
from solver.model.snapshot import Policy, ProjectQueue, Quota, Snapshot
from tests.fakes.control_plane import MemoryControlPlane
from tests.migctl.controller.driven import A100, Cluster

pytestmark = pytest.mark.anyio

ETCD_LIMIT = 1_500_000


async def test_one_end_among_many_who_wait_writes_what_changed_and_no_message_of_the_others() -> None:
    cluster = Cluster()
    await cluster.project(quota=100.0)
    await cluster.node(*(Gpu(f"GPU-{i}", "node-a", i, A100.id, A100.memory_mib, mig=True) for i in range(8)))
    for number in range(150):
        await cluster.claim(f"w{number}", GpuRequest(profile="7g.40gb" if number % 2 else "3g.20gb"))
    async with cluster.watching():
        await cluster.converge()
        ended = next(c for c in (await cluster.control_plane.list(Claim)).items if c.status.allocation)
        await cluster.control_plane.delete(ended)
        ended = await cluster.control_plane.get(Claim, ended.meta.name, "team-a")
        await cluster.control_plane.patch(ended, {"meta": {"finalizers": []}})
        patches: Counter[str] = Counter()
        patch = cluster.control_plane.patch

        async def counted(obj: Any, changes: Mapping[str, Any], *, fenced: bool = False) -> Any:
            patches[type(obj).__name__] += 1
            return await patch(obj, changes, fenced=fenced)

        cluster.control_plane.patch = counted  # type: ignore[method-assign]
        await cluster.converge()
    assert 1 <= patches["Claim"] <= 2
    assert patches.total() <= 5


@pytest.mark.parametrize("pending", [255, 5000])
async def test_a_plan_object_stays_small_however_many_wait(pending: int) -> None:
    state = _full_cluster(pending)
    plan = planner.plan(state)
    control_plane = MemoryControlPlane()
    await publish.record(control_plane, Names(state), plan, {}, 1.0)
    (stored,) = (await control_plane.list(PlacementPlan)).items
    assert len(encode(stored)) < ETCD_LIMIT / 2
    placed = sum(outcome.placed for outcome in stored.spec.outcomes) + stored.spec.left_out.placed
    assert len(stored.spec.outcomes) + stored.spec.left_out.placed + stored.spec.left_out.waiting == pending
    assert len(stored.spec.steps) + stored.spec.left_out.steps == len(plan.steps)
    assert placed > 0
    assert {o.code for o in stored.spec.outcomes if not o.placed} == {"no-free-gpu"}


def _full_cluster(pending: int) -> Snapshot:
    nodes = tuple(Node(f"gpu-node-{i}.example.internal") for i in range(20))
    gpus = tuple(
        Gpu(f"GPU-{n.name}-{j}", n.name, j, A100.id, A100.memory_mib, mig=True) for n in nodes for j in range(8)
    )
    requests = tuple(
        Request(
            f"{i:08d}-0000-4000-8000-000000000000",
            f"training-job-{i}",
            f"team-{i % 20}",
            MigProfile("7g.40gb") if i % 2 else Fraction(0.5),
            created=float(i),
        )
        for i in range(pending)
    )
    projects = tuple(ProjectQueue(f"team-{t}", Quota(10.0)) for t in range(20))
    return Snapshot(nodes, gpus, {A100.id: A100}, requests, (), projects, now=1e6)


@dataclass(frozen=True)
class Watched(Mapping[str, Outcome]):
    """Outcomes that note which thread makes them."""

    made: Mapping[str, Outcome]
    threads: set[int]

    def __getitem__(self, claim: str) -> Outcome:
        self.threads.add(threading.get_ident())
        return self.made[claim]

    def __iter__(self) -> Iterator[str]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.made)


async def test_reasons_are_made_beside_the_event_loop() -> None:
    cluster, threads = Cluster(), set[int]()

    def planned(state: Snapshot, policy: Policy) -> Plan:
        plan = planner.plan(state, policy)
        return replace(plan, outcomes=Watched(plan.outcomes, threads))

    cluster.controller.planner = planned
    await cluster.project()
    await cluster.node(Gpu("GPU-a", "node-a", 0, A100.id, A100.memory_mib, mig=True))
    for name in "ab":
        await cluster.claim(name, GpuRequest(profile="7g.40gb"))
    async with cluster.watching():
        await cluster.converge()
    assert (await cluster.get("b")).status.reason == "no-free-gpu"
    assert threads
    assert threading.get_ident() not in threads
