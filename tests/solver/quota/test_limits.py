"""A limit that is used up by work that has to give way: it is freed as room is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from solver.model.cluster import Backing, Gpu, Node
from solver.model.demand import DeviceShare, Fraction, Gang, Grant, Holding, Request, WholeGpus
from solver.model.plan import Evict, Plan
from solver.model.reasons import Code
from solver.model.snapshot import DepartmentQueue, ProjectQueue, Quota
from tests.solver.scenarios import cluster, decide, gpu, interactive, place, refusal, request, shares

CARDS = tuple(gpu("v100", f"g{i}", "n0", i) for i in range(4))
LIMITED = ProjectQueue("team-a", Quota(2.0, limit=2.0))
MODES = pytest.mark.parametrize("behind", [0, 300], ids=["in turn", "together"])


def whole(claim: str, on: Sequence[Gpu], project: str = "team-a", **more: object) -> Holding:
    """Work that holds these GPUs whole."""
    devices = tuple(DeviceShare(g.uuid, Backing.WHOLE, 1.0, g.memory_mib) for g in on)
    since = float(str(more.pop("since", 0.0)))
    return Holding(request(claim, WholeGpus(len(on)), project, **more), Grant(on[0].node, devices), since)


def queue(first: Request, behind: int) -> tuple[Request, ...]:
    """The request, and so many others behind it that no room is for."""
    rest = (request(f"z{i}", WholeGpus(1), first.project, priority=1, created=9.0) for i in range(behind))
    return (first, *rest)


def evicted(plan: Plan) -> list[str]:
    return sorted(step.claim for step in plan.steps if isinstance(step, Evict))


@MODES
def test_the_least_important_work_of_a_project_at_its_limit_gives_way_though_gpus_are_free(behind: int) -> None:
    held = (whole("old", CARDS[:1], since=1.0), whole("new", CARDS[1:2], since=2.0))
    state = cluster(*CARDS, projects=(LIMITED,), held=held, pending=queue(interactive("w", WholeGpus(1)), behind))
    made = decide(state)
    assert place(made, "w").waits_for == ("new",)
    assert evicted(made) == ["new"]


@MODES
def test_a_limit_holds_where_the_gpus_are_full_too(behind: int) -> None:
    held = tuple(whole(f"t{i}", CARDS[i : i + 1], since=float(i)) for i in range(2))
    state = cluster(*CARDS[:2], projects=(LIMITED,), held=held, pending=queue(interactive("w", WholeGpus(1)), behind))
    assert evicted(decide(state)) == ["t1"]


def test_no_more_go_than_the_limit_asks_for() -> None:
    held = tuple(shares(request(f"h{i}", Fraction(0.5)), CARDS[i // 2], 0.5) for i in range(4))
    made = decide(cluster(*CARDS, projects=(LIMITED,), held=held, pending=(interactive("w", Fraction(0.5)),)))
    assert len(evicted(made)) == 1
    made = decide(cluster(*CARDS, projects=(LIMITED,), held=held, pending=(interactive("w", WholeGpus(1)),)))
    assert len(evicted(made)) == 2


def test_work_as_important_or_protected_keeps_the_limit_used_and_the_reason_says_so() -> None:
    held = tuple(whole(f"t{i}", CARDS[i : i + 1]) for i in range(2))
    same = cluster(*CARDS, projects=(LIMITED,), held=held, pending=(request("w", WholeGpus(1)),))
    assert refusal(decide(same), "w").code is Code.OVER_LIMIT
    kept = tuple(replace(holding, protected="a disruption budget") for holding in held)
    state = cluster(*CARDS, projects=(LIMITED,), held=kept, pending=(interactive("w", WholeGpus(1)),))
    assert refusal(decide(state), "w").code is Code.OVER_LIMIT
    larger = cluster(*CARDS, projects=(LIMITED,), held=held, pending=(interactive("w", WholeGpus(3)),))
    assert refusal(decide(larger), "w").code is not None
    assert not evicted(decide(larger))


def test_preemption_does_not_help_firm_work_beyond_the_quota() -> None:
    firm = ProjectQueue("team-a", Quota(1.0, limit=2.0))
    held = (whole("i", CARDS[:1], priority=100, preemptible=False), whole("t", CARDS[1:2]))
    made = decide(cluster(*CARDS, projects=(firm,), held=held, pending=(interactive("w", WholeGpus(1)),)))
    assert refusal(made, "w").code is Code.NON_PREEMPTIBLE_OVER_QUOTA
    assert not evicted(made)


@MODES
def test_the_limit_of_a_department_is_freed_by_the_projects_own_work(behind: int) -> None:
    department = DepartmentQueue("d", Quota(2.0, limit=2.0))
    team = ProjectQueue("team-a", Quota(2.0), department="d")
    held = tuple(whole(f"t{i}", CARDS[i : i + 1], since=float(i)) for i in range(2))
    pending = queue(interactive("w", WholeGpus(1)), behind)
    state = cluster(*CARDS, projects=(team,), departments=(department,), held=held, pending=pending)
    assert evicted(decide(state)) == ["t1"]


def test_a_department_at_its_limit_is_freed_by_the_project_that_is_above_its_share() -> None:
    department = DepartmentQueue("d", Quota(2.0, limit=2.0))
    teams = tuple(ProjectQueue(name, Quota(1.0), department="d") for name in ("team-a", "team-b"))
    held = tuple(whole(f"t{i}", CARDS[i : i + 1], since=float(i)) for i in range(2))
    wish = request("w", WholeGpus(1), "team-b")
    made = decide(cluster(*CARDS, projects=teams, departments=(department,), held=held, pending=(wish,)))
    assert evicted(made) == ["t1"]


def test_the_limit_of_a_node_pool_is_freed_by_work_in_that_pool() -> None:
    cards = (*CARDS[:2], *(gpu("v100", f"p{i}", "n1", i) for i in range(2)))
    quotas = {"b": Quota(1.0, limit=1.0), "": Quota(2.0, limit=2.0)}
    team = ProjectQueue("team-a", quotas=quotas)
    held = (whole("here", cards[:1], since=2.0), whole("there", cards[2:3], since=1.0))
    wish = interactive("w", WholeGpus(1), pools=("b",))
    made = decide(cluster(*cards, projects=(team,), nodes=(Node("n0"), Node("n1", "b")), held=held, pending=(wish,)))
    assert evicted(made) == ["there"]


def test_a_gang_is_given_the_limit_of_several() -> None:
    held = tuple(whole(f"t{i}", CARDS[i : i + 1], since=float(i)) for i in range(2))
    gang = Gang("g", 2)
    members = tuple(interactive(f"w{i}", WholeGpus(1), gang=gang) for i in range(2))
    made = decide(cluster(*CARDS, projects=(LIMITED,), held=held, pending=members))
    assert evicted(made) == ["t0", "t1"]
