"""The control loop on the real planner: what it writes, when it writes nothing, and what it never does."""

from __future__ import annotations

import asyncio
import sys

import pytest

from migctl.controller import observe
from migctl.objects import (
    Claim,
    Event,
    GpuRequest,
    PlacementPlan,
    Project,
    StepState,
    to_builtins,
)
from migctl.solver_process.client import SolverProcess
from nodeagent.contract.allocation import NodeReport
from solver import planner
from solver.model.cluster import Instance, InstanceState
from solver.model.plan import Assign
from solver.model.snapshot import Policy
from tests.checker import check
from tests.migctl.controller.driven import A100, PROFILE_2G, Cluster, a100, three_trainings, v100

pytestmark = pytest.mark.anyio

NEVER_ANSWERS = """
import sys, time
from multiprocessing.connection import Connection
caller = Connection(int(sys.argv[1]))
caller.send(None)
time.sleep(600)
"""


async def test_three_claims_get_their_places_and_a_plan_says_so() -> None:
    cluster = Cluster()
    await three_trainings(cluster)
    async with cluster.watching():
        await cluster.converge()
        assert sorted((await cluster.places()).values()) == [("2g.10gb", 0), ("2g.10gb", 2), ("2g.10gb", 4)]
        plans = (await cluster.control_plane.list(PlacementPlan)).items
        steps = [step for plan in plans for step in plan.spec.steps]
        assert sum(step.action == "assign" and step.state is StepState.ACCEPTED for step in steps) == 3
        assert any("assign team-a/a to node-a/0 2g.10gb@" in step.text for step in steps)
        project = await cluster.control_plane.get(Project, "team-a")
        assert project.status.allocated == pytest.approx(6 / 7, abs=0.001)


async def test_of_equal_nodes_the_first_by_name_is_taken_whichever_was_heard_of_first() -> None:
    cluster = Cluster()
    await cluster.project()
    async with cluster.watching():
        await cluster.node(v100("GPU-b", "node-b"), name="node-b")
        await cluster.node(v100("GPU-a", "node-a"), name="node-a")
        claim = await cluster.claim("a", GpuRequest())
        await cluster.converge()
        allocation = (await cluster.get(claim.spec.workload)).status.allocation
    assert allocation is not None
    assert allocation.node == "node-a"


async def test_a_quiet_cluster_writes_nothing() -> None:
    cluster = Cluster()
    await three_trainings(cluster)
    await cluster.claim("d", GpuRequest(profile="7g.40gb"))
    async with cluster.watching():
        await cluster.converge()
        before = await cluster.version()
        for _ in range(3):
            await cluster.controller.cycle(cluster.applier)
        assert await cluster.version() == before


async def test_a_claim_that_waits_is_told_why() -> None:
    cluster = Cluster()
    await cluster.node(v100())
    await cluster.project()
    await cluster.claim("picky", GpuRequest(profile="3g.20gb"))
    async with cluster.watching():
        await cluster.converge()
        claim = await cluster.get("picky")
        assert (claim.status.allocation, bool(claim.status.reason)) == (None, True)
        assert "3g.20gb" in claim.status.message


async def test_room_is_nominated_then_evicted_then_given() -> None:
    """F4: an interactive 3g.20gb takes the units of exactly one training, at start 4."""
    cluster = Cluster()
    await three_trainings(cluster)
    async with cluster.watching():
        await cluster.converge()
        places = await cluster.places()
        victim = next(name for name, place in places.items() if place[1] == 4)
        await cluster.claim("desk", GpuRequest(profile="3g.20gb"), priority=100, preemptible=False)
        await cluster.converge()
        desk, leaving = await cluster.get("desk"), await cluster.get(victim)
        assert desk.status.allocation is None
        assert desk.status.nomination is not None
        assert leaving.meta.deleting is not None
        assert "desk" in leaving.status.evicted
        await cluster.claim("late", PROFILE_2G)
        await cluster.converge()
        assert "late" not in await cluster.places()
        await cluster.control_plane.patch(leaving, {"meta": {"finalizers": []}})
        await cluster.converge()
        assert (await cluster.places())["desk"] == ("3g.20gb", 4)
        assert (await cluster.get("desk")).status.nomination is None


async def test_a_controller_that_died_between_nomination_and_eviction_goes_on() -> None:
    cluster = Cluster()
    await three_trainings(cluster)
    async with cluster.watching():
        await cluster.converge()
        desk = await cluster.claim("desk", GpuRequest(profile="3g.20gb"), priority=100, preemptible=False)
        await asyncio.sleep(0.001)
        plan = planner.plan(observe.snapshot(cluster.mirror, cluster.clock()), Policy())
        grant = next(step.grant for step in plan.steps if isinstance(step, Assign))
        await cluster.control_plane.patch(desk, {"status": {"nomination": to_builtins(grant)}})
        await cluster.converge()
        leaving = [c for c in (await cluster.control_plane.list(Claim)).items if c.meta.deleting is not None]
        assert len(leaving) == 1


async def test_a_place_stays_taken_until_the_agent_reports_it_free() -> None:
    busy = Instance("7g.40gb", 0, 8, InstanceState.BUSY, "gone", "MIG-1")
    cluster = Cluster()
    node = await cluster.node(a100(busy))
    await cluster.project()
    await cluster.claim("a", PROFILE_2G)
    async with cluster.watching():
        await cluster.converge()
        assert await cluster.places() == {}
        free = to_builtins(NodeReport("node-a", "boot", 2, (a100(),), {A100.id: A100}))
        await cluster.control_plane.patch(node, {"status": {"report": free}})
        await cluster.converge()
        assert list(await cluster.places()) == ["a"]


async def test_an_assignment_is_refused_when_its_room_was_taken_meanwhile() -> None:
    cluster = Cluster()
    await cluster.node(a100())
    await cluster.project()
    await cluster.claim("a", GpuRequest(profile="7g.40gb"))
    async with cluster.watching():
        await asyncio.sleep(0.001)
        state = observe.snapshot(cluster.mirror, cluster.clock())
        plan = planner.plan(state, Policy())
        check(state, plan)
        thief = await cluster.claim("thief", PROFILE_2G)
        grant = next(step.grant for step in plan.steps if isinstance(step, Assign))
        await cluster.control_plane.patch(thief, {"status": {"allocation": to_builtins(grant)}})
        await asyncio.sleep(0.001)
        verdicts = await cluster.apply(plan)
        assert [state for state, _ in verdicts.values()] == [StepState.REJECTED]
        assert [reason for _, reason in verdicts.values()] == ["units 0 to 7 of GPU-a are taken"]
        assert list(await cluster.places()) == ["thief"]


async def test_a_decision_sees_its_own_writes_before_the_watch_tells_of_them() -> None:
    cluster = Cluster()
    await cluster.node(a100())
    await cluster.project()
    await cluster.claim("a", GpuRequest(profile="7g.40gb"))
    async with cluster.watching():
        await asyncio.sleep(0.001)
        await cluster.controller.cycle(cluster.applier)
        seen = observe.snapshot(cluster.mirror, cluster.clock())
        assert [holding.request.name for holding in seen.held] == ["a"]
        assert seen.pending == ()


async def test_a_solver_that_hangs_is_stopped_and_an_event_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "MANY", 1)
    hung = SolverProcess([sys.executable, "-c", NEVER_ANSWERS])
    cluster = Cluster()
    cluster.controller.planner = lambda state, policy: planner.plan(state, policy, solver=hung)
    cluster.controller.policy = Policy(wall_clock_s=0.5)
    await cluster.node(a100())
    await cluster.project()
    for name in ("a", "b"):
        await cluster.claim(name, PROFILE_2G)
    async with cluster.watching():
        await cluster.converge()
    assert set(await cluster.places()) == {"a", "b"}
    (said,) = [e for e in (await cluster.control_plane.list(Event)).items if e.spec.reason == "SolverFellBack"]
    assert "greedy plan stands" in said.spec.message
    assert said.spec.warning
    assert said.spec.about.startswith("Plan/")
    hung.close()


async def test_nothing_is_decided_before_everything_is_known() -> None:
    cluster = Cluster()
    assert not cluster.mirror.synced
    async with cluster.watching():
        assert cluster.mirror.synced
