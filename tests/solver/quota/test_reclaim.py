"""Who gives way to whom: across projects by fair share, inside a project by priority, and who is only moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from migctl.reason_text import sentence
from solver.model.cluster import Backing, Gpu, Node
from solver.model.demand import DeviceShare, Fraction, Gang, Grant, Holding, Memory, MigProfile, Request, WholeGpus
from solver.model.plan import Assign, Evict, Plan
from solver.model.reasons import Code
from solver.model.snapshot import UNLIMITED, DepartmentQueue, ProjectQueue, Quota
from solver.quota.ledger import Ledger
from tests.solver.scenarios import (
    a100,
    cluster,
    decide,
    gpu,
    holds,
    instance,
    interactive,
    place,
    refusal,
    request,
    shares,
)

TEAMS = (ProjectQueue("team-a", Quota(2.0)), ProjectQueue("team-b", Quota(2.0), created=1.0))


def cards(nodes: int = 2, each: int = 2) -> tuple[Gpu, ...]:
    return tuple(gpu("v100", f"g{n}{i}", f"n{n}", i) for n in range(nodes) for i in range(each))


def whole(claim: str, on: Sequence[Gpu], project: str = "team-a", since: float = 0.0, **more: object) -> Holding:
    """A training that holds these GPUs whole."""
    devices = tuple(DeviceShare(g.uuid, Backing.WHOLE, 1.0, g.memory_mib) for g in on)
    wish = request(claim, WholeGpus(len(on)), project, **more)
    return Holding(wish, Grant(on[0].node, devices), since)


def wants(claim: str, gpus: int = 1, project: str = "team-b", **more: object) -> Request:
    return request(claim, WholeGpus(gpus), project, **more)


def evicted(plan: Plan) -> list[str]:
    """Claims that are stopped and get no new place."""
    moved = {step.claim for step in plan.steps if isinstance(step, Assign)}
    return sorted(step.claim for step in plan.steps if isinstance(step, Evict) and step.claim not in moved)


def moved(plan: Plan) -> dict[str, str]:
    """Node that each moved claim goes to."""
    stopped = {step.claim for step in plan.steps if isinstance(step, Evict)}
    return {s.claim: s.grant.node for s in plan.steps if isinstance(s, Assign) and s.claim in stopped}


@pytest.mark.parametrize("behind", [0, 300], ids=["in turn", "together"])
def test_a_quota_takes_gpus_that_can_serve_from_who_is_beyond_his_own(behind: int) -> None:
    """K6: team-a is not above its fair share of four GPUs, but holds both that have 40 GB."""
    large = [replace(gpu("a100-80gb", f"l{i}", "n0", i), mig=False) for i in range(2)]
    small = [gpu("v100", f"s{i}", "n1", i) for i in range(2)]
    teams = (ProjectQueue("team-a", Quota(0.0)), ProjectQueue("team-b", Quota(4.0), created=1.0))
    needs = [request(f"a{i}", Memory(60_000), "team-a") for i in range(2)]
    held = [
        replace(shares(need, card, 0.74), since=float(i))
        for i, (need, card) in enumerate(zip(needs, large, strict=True))
    ]
    wish = Request("b", "b", "team-b", Memory(40_000), created=5.0)
    more = tuple(Request(f"c{i}", f"c{i}", "team-a", Memory(40_000), created=9.0) for i in range(behind))
    state = cluster(*large, *small, held=held, projects=teams, pending=(wish, *more))
    plan = decide(state)
    assert evicted(plan) == ["a1"]
    assert place(plan, "b").waits_for == ("a1",)
    within = replace(state, projects=(ProjectQueue("team-a", Quota(2.0)), teams[1]))
    assert not evicted(decide(within))


def test_a_project_under_its_share_takes_from_one_above_and_both_sides_are_told_the_figures() -> None:
    g = cards()
    held = (whole("a2", g[:2], since=0), whole("a1", g[2:3], since=1), whole("b1", g[3:], "team-b", since=2))
    made = decide(cluster(*g, projects=TEAMS, held=held, pending=(wants("b2"),)))
    assert place(made, "b2").waits_for == ("a1",)
    (step,) = [step for step in made.steps if isinstance(step, Evict)]
    assert step.beneficiary == "b2"
    assert step.why == (
        "1.00 GPUs reclaimed for team-b/b2; project team-a: allocated 3.00, quota 2.00, fair share 2.00; "
        "project team-b: allocated 1.00, quota 2.00, fair share 2.00"
    )


def test_who_was_reclaimed_waits_with_the_figures() -> None:
    g = cards()
    held = (whole("a2", g[:2]), whole("b1", g[3:], "team-b"), whole("b2", g[2:3], "team-b"))
    made = decide(cluster(*g, projects=TEAMS, held=held, pending=(wants("a1", project="team-a"),)))
    assert not made.steps
    assert sentence(refusal(made, "a1")).endswith("project team-a: allocated 2.00, quota 2.00, fair share 2.00")


def test_nobody_at_or_under_quota_is_reclaimed() -> None:
    g = cards(1, 2)
    projects = (ProjectQueue("team-a", Quota(2.0)), ProjectQueue("team-b", Quota(2.0)))
    held = (whole("a1", g[:1]), whole("a2", g[1:]))
    made = decide(cluster(*g, projects=projects, held=held, pending=(wants("b1"),)))
    assert not made.steps


def test_no_more_is_reclaimed_than_the_fair_share() -> None:
    g = cards()
    projects = (ProjectQueue("team-a", Quota(1.0)), ProjectQueue("team-b", Quota(1.0), created=1.0))
    held = tuple(whole(f"a{i}", [card], since=i) for i, card in enumerate(g))
    pending = tuple(wants(f"b{i}", created=i) for i in range(4))
    made = decide(cluster(*g, projects=projects, held=held, pending=pending))
    assert evicted(made) == ["a2", "a3"]
    assert refusal(made, "b3").code is Code.NO_FREE_GPU


def test_the_lowest_priority_goes_before_the_newest() -> None:
    g = cards()
    held = (
        whole("old", g[:1], since=0, priority=40),
        whole("new", g[1:2], since=9),
        whole("x", g[2:3]),
        whole("y", g[3:]),
    )
    made = decide(cluster(*g, projects=TEAMS, held=held, pending=(wants("b"),)))
    assert evicted(made) == ["old"]


def test_the_smaller_loss_goes_before_the_newer() -> None:
    g = cards()
    held = (whole("small", g[:1], since=0), whole("large", g[2:], since=9), whole("other", g[1:2], since=1))
    made = decide(cluster(*g, projects=TEAMS, held=held, pending=(wants("b"),)))
    assert evicted(made) == ["other"]


def test_fewer_pods_go_before_more() -> None:
    g = cards(2, 2)
    held = (whole("one", g[:2], since=0), whole("l", g[2:3], since=5), whole("r", g[3:], since=6))
    made = decide(cluster(*g, projects=TEAMS, held=held, pending=(wants("b", 2),)))
    assert evicted(made) == ["one"]


def test_a_minimum_runtime_is_kept_then_over() -> None:
    g = cards(1, 2)
    projects = (ProjectQueue("team-a", Quota(1.0), min_runtime_s=60.0), ProjectQueue("team-b", Quota(1.0)))
    held = (whole("a1", g[:1], since=10.0), whole("a2", g[1:], since=20.0))
    early = cluster(*g, projects=projects, held=held, pending=(wants("b1"),), now=69.0)
    assert not decide(early).steps
    assert evicted(decide(replace(early, now=71.0))) == ["a1"]


def test_non_preemptible_work_is_never_reclaimed() -> None:
    g = cards(1, 2)
    projects = (ProjectQueue("team-a", Quota(1.0)), ProjectQueue("team-b", Quota(1.0)))
    held = tuple(
        replace(h, request=replace(h.request, preemptible=False)) for h in (whole("a1", g[:1]), whole("a2", g[1:]))
    )
    assert not decide(cluster(*g, projects=projects, held=held, pending=(wants("b1"),))).steps


def test_a_gang_goes_as_a_whole_and_only_what_it_has_beyond_its_size_alone() -> None:
    g = cards(2, 2)
    projects = (ProjectQueue("team-a", Quota(0.0)), ProjectQueue("team-b", Quota(1.0)))

    def members(size: int) -> tuple[Holding, ...]:
        return tuple(whole(f"m{i}", [card], since=i, gang=Gang("gang", size)) for i, card in enumerate(g))

    stiff = cluster(*g, projects=projects, held=members(4), pending=(wants("b"),))
    assert evicted(decide(stiff)) == ["m0", "m1", "m2", "m3"]
    assert evicted(decide(replace(stiff, held=members(3)))) == ["m3"]


def test_between_departments_only_what_the_department_has_beyond_its_share_is_taken() -> None:
    g = cards(2, 2)
    departments = (DepartmentQueue("rich", Quota(2.0)), DepartmentQueue("poor", Quota(2.0)))
    projects = (
        ProjectQueue("r1", Quota(0.0), department="rich"),
        ProjectQueue("r2", Quota(2.0), department="rich"),
        ProjectQueue("p1", Quota(2.0), department="poor"),
    )
    held = (whole("x", g[:1], "r1", since=5), whole("y", g[1:2], "r2"), whole("z", g[2:3], "p1", since=9))
    fourth = whole("w", g[3:], "p1", since=9)
    snapshot = cluster(*g, projects=projects, departments=departments, held=(*held, fourth))
    outsider = decide(replace(snapshot, pending=(wants("p", project="p1"),)))
    assert not outsider.steps
    sibling = decide(replace(snapshot, pending=(wants("r", project="r2"),)))
    assert evicted(sibling) == ["x"]


def test_seven_small_ones_three_of_them_go_for_a_legal_start() -> None:
    card = a100("g0", "n0", 0, *(instance("1g.5gb", s, "busy", f"a{s}") for s in range(7)))
    held = tuple(holds(request(f"a{s}", MigProfile("1g.5gb")), card, s, since=s) for s in range(7))
    projects = (ProjectQueue("team-a", Quota(0.0)), ProjectQueue("team-b", Quota(1.0)))
    pending = (request("b", MigProfile("3g.20gb"), "team-b"),)
    made = decide(cluster(card, projects=projects, held=held, pending=pending))
    assert evicted(made) == ["a4", "a5", "a6"]
    assert place(made, "b").grant.devices[0].start == 4


def test_one_job_is_moved_and_nothing_waits() -> None:
    g = cards()
    held = (whole("a1", g[:1], since=1), whole("b1", g[3:], "team-b", since=2))
    made = decide(cluster(*g, projects=TEAMS, held=held, pending=(wants("b2", 2),)))
    assert evicted(made) == []
    assert len(moved(made)) == 1
    assert place(made, "b2").waits_for == tuple(moved(made))


def test_interactive_work_is_not_moved() -> None:
    g = cards()
    held = tuple(
        replace(h, request=replace(h.request, preemptible=False, priority=100))
        for h in (whole("a1", g[:1]), whole("b1", g[3:], "team-b"))
    )
    made = decide(cluster(*g, projects=TEAMS, held=held, pending=(wants("b2", 2),)))
    assert not made.steps
    assert refusal(made, "b2").blockers is not None


def test_a_gang_is_moved_whole_or_not_at_all() -> None:
    g = cards(3, 2)
    gang = Gang("gang", 2)
    held = (whole("m0", g[:1], gang=gang), whole("m1", g[2:3], gang=gang), whole("c", g[4:5], "team-b"))
    pinned = replace(held[2], request=replace(held[2].request, preemptible=False))
    made = decide(cluster(*g, projects=TEAMS, held=(*held[:2], pinned), pending=(wants("b2", 2),)))
    assert set(moved(made)) == {"m0", "m1"}


def test_a_legal_start_is_opened_by_moving_one_instance() -> None:
    card = a100("g0", "n0", 0, instance("1g.5gb", 1, "busy", "x"), instance("1g.5gb", 5, "busy", "y"))
    held = tuple(holds(request(c, MigProfile("1g.5gb")), card, s) for c, s in (("x", 1), ("y", 5)))
    made = decide(cluster(card, held=held, pending=(request("a", MigProfile("3g.20gb")),)))
    assert len(moved(made)) == 1
    assert evicted(made) == []


def test_inside_a_project_only_strictly_lower_priority_gives_way() -> None:
    g = cards(1, 1)
    projects = (ProjectQueue("team-a", Quota(1.0)),)
    held = (whole("t", g),)
    equal = cluster(*g, projects=projects, held=held, pending=(wants("u", project="team-a"),))
    assert not decide(equal).steps
    above = decide(replace(equal, pending=(interactive("i", WholeGpus()),)))
    (step,) = [step for step in above.steps if isinstance(step, Evict)]
    assert step.why.startswith("preempted for team-a/i, whose priority 100 is above 50; project team-a: allocated 1.00")


def test_a_gang_waits_for_all_the_room_that_is_freed_for_it() -> None:
    g = cards(2, 2)
    projects = (ProjectQueue("team-a", Quota(2.0)), ProjectQueue("team-b", Quota(2.0)))
    held = (whole("a1", g[:1], since=1), whole("a2", g[1:2], since=2), whole("a3", g[2:3], since=3))
    members = tuple(wants(f"m{i}", gang=Gang("gang", 2)) for i in range(2))
    made = decide(cluster(*g, projects=projects, held=held, pending=members))
    assert evicted(made) == ["a3"]
    assert place(made, "m0").waits_for == place(made, "m1").waits_for == ("a3",)


def test_the_nodes_of_other_pools_are_other_queues() -> None:
    g = cards(2, 1)
    nodes = (Node("n0", "blue"), Node("n1", "green"))
    projects = (
        ProjectQueue("team-a", Quota(0.0), {"blue": Quota(1.0)}),
        ProjectQueue("team-b", Quota(0.0), {"green": Quota(1.0)}),
    )
    held = (whole("a1", g[:1]), whole("a2", g[1:]))
    snapshot = cluster(*g, projects=projects, nodes=nodes, held=held)
    made = decide(replace(snapshot, pending=(wants("b1"),)))
    assert evicted(made) == ["a2"]
    assert not decide(replace(snapshot, pending=(wants("b1", pools=("blue",)),))).steps


class TestUnlimitedQuota:
    """A quota of -1 is what the other quotas leave: nobody's guaranteed quota is defeated by it."""

    def test_a_guaranteed_quota_is_reclaimed_from_a_project_without_one_of_its_own(self) -> None:
        card = gpu("v100")
        projects = [ProjectQueue("default", Quota(UNLIMITED)), ProjectQueue("team-a", Quota(1.0))]
        held = tuple(shares(request(c, Fraction(0.5), "default"), card, 0.5) for c in ("d1", "d2"))
        made = decide(cluster(card, projects=projects, held=held, pending=(request("a", Fraction(0.5)),)))
        assert len(place(made, "a").waits_for) == 1

    def test_asking_for_more_takes_nothing_away(self) -> None:
        card = gpu("v100")
        projects = [ProjectQueue("default", Quota(UNLIMITED)), ProjectQueue("team-a", Quota(1.0))]
        held = tuple(shares(request(c, Fraction(0.5), "default"), card, 0.5) for c in ("d1", "d2"))
        waiting = tuple(request(f"d{n}", Fraction(0.5), "default") for n in range(3, 9))
        made = decide(cluster(card, projects=projects, held=held, pending=(*waiting, request("a", Fraction(0.5)))))
        assert place(made, "a")

    def test_alone_it_may_have_everything_for_work_that_is_not_preemptible(self) -> None:
        cards = [gpu("v100", f"g{i}", "n0", i) for i in range(2)]
        projects = [ProjectQueue("default", Quota(UNLIMITED)), ProjectQueue("team-a", Quota(0.0))]
        desks = tuple(interactive(f"w{i}", WholeGpus(), "default") for i in range(2))
        made = decide(cluster(*cards, projects=projects, pending=desks))
        assert place(made, "w0")
        assert place(made, "w1")

    def test_beside_a_quota_work_that_is_not_preemptible_keeps_to_the_rest(self) -> None:
        cards = [gpu("v100", f"g{i}", "n0", i) for i in range(2)]
        projects = [ProjectQueue("default", Quota(UNLIMITED)), ProjectQueue("team-a", Quota(1.0))]
        desks = tuple(interactive(f"w{i}", WholeGpus(), "default") for i in range(2))
        made = decide(cluster(*cards, projects=projects, pending=desks))
        assert place(made, "w0")
        assert "project default has a quota of 1.00" in sentence(refusal(made, "w1"))

    def test_inside_a_department_it_is_the_rest_of_the_departments_quota(self) -> None:
        cards = [gpu("v100", f"g{i}", "n0", i) for i in range(4)]
        projects = [
            ProjectQueue("open", Quota(UNLIMITED), department="lab"),
            ProjectQueue("team-a", Quota(1.0), department="lab"),
        ]
        state = cluster(*cards, projects=projects, departments=(DepartmentQueue("lab", Quota(3.0)),))
        account = Ledger(state).account("open", "default")
        assert account is not None
        assert account.quota.quota == 2.0


def sevenths(quota_a: float, quota_b: float, wish: Request, behind: int = 0) -> Plan:
    """Seven trainings of team-a fill an A100, and a request of team-b comes."""
    card = a100("g0", "n0", 0, *(instance("1g.5gb", s, "busy", f"t{s}") for s in range(7)))
    held = tuple(holds(request(f"t{s}", MigProfile("1g.5gb"), "team-a"), card, s, since=float(s)) for s in range(7))
    teams = (ProjectQueue("team-a", Quota(quota_a)), ProjectQueue("team-b", Quota(quota_b), created=1.0))
    more = tuple(request(f"z{i}", MigProfile("1g.5gb"), "team-a", created=9.0) for i in range(behind))
    return decide(cluster(card, held=held, projects=teams, pending=(wish, *more)))


@pytest.mark.parametrize("behind", [0, 300], ids=["in turn", "together"])
@pytest.mark.parametrize(
    ("demand", "gone"), [(Memory(2_000), 1), (Memory(12_000), 3), (Fraction(0.05), 1), (Fraction(0.3), 3)], ids=str
)
def test_what_an_instance_counts_for_and_not_what_was_asked_for_bounds_the_share(
    demand: Memory | Fraction, gone: int, behind: int
) -> None:
    """12,000 MiB count 0.29 and are served by 3g.20gb, 0.43: half of the GPU is team-b's."""
    assert len(evicted(sevenths(0.0, 0.0, request("b", demand, "team-b"), behind))) == gone


def test_an_instance_larger_than_what_a_project_may_ever_have_of_the_pool_is_not_reclaimed() -> None:
    """7g.40gb serves 22,000 MiB: team-b's share is half a GPU even if it asked for all of it."""
    assert not evicted(sevenths(0.0, 0.0, request("b", Memory(22_000), "team-b")))
    for theirs, own in ((0.714, 0.29), (0.6, 0.4)):
        assert not evicted(sevenths(theirs, own, request("b", Memory(12_000), "team-b")))
