"""Plans, events and rankings."""

from __future__ import annotations

import json

import pytest

from migctl.objects import Claim, GpuRequest, Meta, PlacementPlan, PlanOutcome, PlanSpec, PlanStep, StepState
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import V100, Placed

STEPS = (
    PlanStep(action="evict", text="evict team-a/p2 for team-a/desk: it has priority", state=StepState.ACCEPTED),
    PlanStep(action="create", text="create 3g.20gb@4 on node-b/0", after=(0,)),
    PlanStep(
        action="assign",
        text="assign team-a/desk to node-b/0 3g.20gb@4",
        after=(0, 1),
        state=StepState.REJECTED,
        reason="taken",
    ),
)
OUTCOMES = (
    PlanOutcome("uid-1", "team-a/desk", True, "node-b/0 3g.20gb@4"),
    PlanOutcome("uid-2", "team-a/p2", False, "no free start"),
)


@pytest.fixture
def planned(team: Cli) -> Cli:
    async def fill(cluster: Cluster) -> None:
        await cluster.create(PlacementPlan(meta=Meta(name="plan-1"), spec=PlanSpec(method="online", milliseconds=1.25)))
        team.clock.advance(5)
        bounded = PlanSpec(STEPS, OUTCOMES, "bounded", 3.0, 4.0, 0.25, 2, 1, "stopped by the clock", 2000.0)
        await cluster.create(PlacementPlan(meta=Meta(name="plan-2"), spec=bounded))
        team.clock.advance(7)

    team.do(fill)
    return team


def test_plans_are_listed_newest_first(planned: Cli) -> None:
    lines = planned.ok("plan", "list").lines
    assert lines[0].split() == ["NAME", "AGE", "METHOD", "PLACED", "WAITING", "EVICTIONS", "OPERATIONS", "GAP", "MS"]
    assert lines[1].split() == ["plan-2", "7s", "bounded", "1", "1", "1", "2", "25.0%", "2000.0"]
    assert lines[2].split() == ["plan-1", "12s", "online", "0", "0", "0", "0", "-", "1.2"]
    assert planned.ok("plan", "list", "--limit", "1", "-o", "name").lines == ["plan/plan-2"]


def test_a_plan_shows_its_steps_in_order_and_its_certificate(planned: Cli) -> None:
    out = planned.ok("plan", "show", "plan-2").out
    assert "bounded: at most 25.0% below the best that any plan can admit" in out
    assert "2 creates and destroys (at least 1)" in out
    rows = [line.split("  ") for line in out.splitlines() if "team-a/desk to node-b" in line]
    assert [cell.strip() for cell in rows[0] if cell.strip()] == [
        "2", "assign team-a/desk to node-b/0 3g.20gb@4", "0, 1", "Rejected", "taken"
    ]  # fmt: skip
    assert "no free start" in out
    assert out == planned.ok("plan", "show").out == planned.ok("plan", "show", "plan/plan-2").out


def test_a_plan_for_machines_and_one_that_is_none(planned: Cli) -> None:
    body = json.loads(planned.ok("plan", "show", "-o", "json").out)
    assert (body["kind"], body["meta"]["name"]) == ("PlacementPlan", "plan-2")
    assert planned("plan", "show", "plan-9").code == 3


def test_no_plan_yet(team: Cli) -> None:
    assert team("plan", "show").code == 3
    assert team.ok("plan", "list").err == "no plans yet\n"


def test_events_by_time_and_workload(team: Cli) -> None:
    async def fill(cluster: Cluster) -> None:
        await scenes.event(cluster, "Workload/one", "Placed", "node-a/0 whole")
        team.clock.advance(5)
        await scenes.event(cluster, "Workload/two", "Preempted", "for one", warning=True)

    team.do(fill)
    lines = team.ok("events", "--no-headers").lines
    assert [line.split()[:3] for line in lines] == [["5s", "Normal", "Placed"], ["0s", "Warning", "Preempted"]]
    assert team.ok("events", "--for", "two", "--no-headers").lines == lines[1:]
    assert team.ok("events", "-p", "team-b").err == "no events in project team-b\n"
    assert len(json.loads(team.ok("events", "-A", "-o", "json").out)["items"]) == 2


def test_top_ranks_by_gpus_and_shows_memory_in_use(team: Cli) -> None:
    gpu = scenes.gpu("node-a", 0, V100)

    async def fill(cluster: Cluster) -> None:
        for name, portion in (("small", 0.25), ("large", 0.5)):
            share = scenes.software_share(gpu, portion)
            await scenes.workload(cluster, name, GpuRequest(fraction=portion), Placed("node-a", (share,)))
        uids = {claim.spec.workload: claim.meta.uid for claim in (await cluster.list(Claim)).items}
        await cluster.create(scenes.node("node-a", gpu, processes={uids["large"]: 1000, None: 24}))

    team.do(fill)
    jobs = team.ok("top", "jobs", "--no-headers").lines
    assert [" ".join(line.split()) for line in jobs] == [
        "large team-a ada 0.50 8080 MiB 1000 MiB",
        "small team-a ada 0.25 4040 MiB 0 MiB",
    ]
    nodes = team.ok("top", "nodes", "--no-headers").lines
    assert [" ".join(line.split()) for line in nodes] == ["node-a 0.75 0.25 16160 MiB 1024 MiB"]
    assert team.ok("top", "--sort-by", "allocated", "-o", "name").lines == ["workload/small", "workload/large"]
