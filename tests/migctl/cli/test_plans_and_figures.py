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
    headings = "NAME AGE PHASE METHOD PLACED WAITING EVICTIONS OPERATIONS GAP MS"
    assert lines[0].split() == headings.split()
    assert lines[1].split() == ["plan-2", "7s", "Decided", "bounded", "1", "1", "1", "2", "25.0%", "2000.0"]
    assert lines[2].split() == ["plan-1", "12s", "Decided", "online", "0", "0", "0", "0", "-", "1.2"]
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


NOTED = "uses 12000 MiB of 8080"


@pytest.fixture
def remarked(team: Cli) -> Cli:
    """A workload that uses too much, a foreign process, and a GPU that is fenced."""

    async def fill(cluster: Cluster) -> None:
        gpu = scenes.gpu("node-a", 0, V100, fenced="XID 79: it has fallen off the bus")
        placed = Placed("node-a", (scenes.software_share(gpu, 0.5),))
        await scenes.workload(cluster, "greedy", GpuRequest(fraction=0.5), placed)
        uid = (await cluster.get(Claim, "greedy-0", "team-a")).meta.uid
        notes = {uid: NOTED, gpu.uuid: "does not answer", "pid 4711": "is nobody's"}
        await cluster.create(scenes.node("node-a", gpu, processes={uid: 12000}, notes=notes))

    team.do(fill)
    return team


def test_what_nodes_remark_is_told_where_one_looks(remarked: Cli) -> None:
    said = (f"team-a/greedy: {NOTED}", "node-a/0: does not answer", "pid 4711: is nobody's")
    for words in ("gpus", "node list"):
        out = remarked.ok(*words.split()).out
        assert all(text in out for text in said)
        assert "XID 79" in out
    notes = json.loads(remarked.ok("gpus", "-o", "json").out)["notes"]
    assert {"node": "node-a", "about": "team-a/greedy", "text": NOTED} in notes
    (node,) = json.loads(remarked.ok("node", "list", "-o", "json").out)["items"]
    assert set(said) < set(node["figures"]["remarks"])


def test_documents_have_the_figures_of_the_tables(remarked: Cli) -> None:
    (job,) = json.loads(remarked.ok("list", "-o", "json").out)["items"]
    figures = {"phase": "Running", "allocated": 0.5, "nodes": ["node-a"], "memoryMib": 8080}
    assert job["figures"] == figures
    (job,) = json.loads(remarked.ok("top", "jobs", "-o", "json").out)["items"]
    assert job["figures"] == {"allocated": 0.5, "memoryMib": 8080, "memoryInUseMib": 12000}
    (node,) = json.loads(remarked.ok("top", "nodes", "-o", "json").out)["items"]
    assert node["figures"] == {"allocated": 0.5, "memoryMib": 16160, "memoryInUseMib": 12000, "free": 0.0}


@pytest.mark.parametrize(("words", "kind"), [("whoami", "Identity"), ("version", "Version"), ("config view", "Config")])
def test_what_is_no_object_is_a_document_too(team: Cli, words: str, kind: str) -> None:
    assert json.loads(team.ok(*words.split(), "-o", "json").out)["kind"] == kind
    assert f"kind: {kind}" in team.ok(*words.split(), "-o", "yaml").lines
