"""Whose turn it is, and who may not start whatever room there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from migctl.reason_text import sentence
from solver.model.cluster import Node
from solver.model.demand import Fraction, Gang, Request, WholeGpus
from solver.model.plan import Evict
from solver.model.reasons import Code
from solver.model.snapshot import DepartmentQueue, ProjectQueue, Quota, Snapshot
from solver.quota.ledger import Ledger
from solver.quota.queueing import Line
from tests.solver.quota.test_reclaim import cards, wants, whole
from tests.solver.scenarios import cluster, decide, gpu, interactive, place, refusal, request, shares


def turns(snapshot: Snapshot) -> list[str]:
    """Claims in the order of their turns, each charged as if it got a GPU of the first node."""
    ledger = Ledger(snapshot)
    order = []
    for job in Line(snapshot, ledger):
        order.append(job.first.claim)
        for wish in job.requests:
            ledger.charge(wish, whole(wish.claim, snapshot.gpus[:1]).grant)
    return order


def queue(*pending: Request, projects: Sequence[ProjectQueue], **more: Any) -> Snapshot:
    return cluster(*cards(), projects=projects, pending=pending, **more)


def test_inside_a_queue_priority_then_age_then_claim() -> None:
    line = queue(
        wants("b", created=1),
        wants("a", created=1),
        wants("old", created=0),
        wants("late", created=9, priority=75),
        projects=[ProjectQueue("team-b", Quota(9.0))],
    )
    assert turns(line) == ["late", "old", "a", "b"]


def test_queues_below_their_fair_share_come_first() -> None:
    projects = [ProjectQueue("team-a", Quota(1.0)), ProjectQueue("team-b", Quota(3.0), created=9.0)]
    line = queue(
        wants("a1", project="team-a", created=0),
        wants("a2", project="team-a", created=1),
        *(wants(f"b{i}", created=5 + i) for i in range(3)),
        projects=projects,
    )
    assert turns(line) == ["a1", "b0", "b1", "b2", "a2"]


def test_then_those_whose_next_job_stays_inside_the_quota() -> None:
    projects = [ProjectQueue("team-a", Quota(0.0)), ProjectQueue("team-b", Quota(2.0), created=9.0)]
    line = queue(wants("a1", project="team-a"), wants("b1"), projects=projects)
    assert turns(line) == ["b1", "a1"]


def test_then_priority_then_the_lowest_share_then_age() -> None:
    young, old = ProjectQueue("young", Quota(2.0), created=2.0), ProjectQueue("old", Quota(2.0), created=1.0)
    assert turns(queue(wants("y", project="young"), wants("o", project="old"), projects=[young, old])) == ["o", "y"]
    urgent = ProjectQueue("young", Quota(2.0, priority=1), created=2.0)
    assert turns(queue(wants("y", project="young"), wants("o", project="old"), projects=[urgent, old])) == ["y", "o"]
    held = (whole("h", cards()[:1], "old"),)
    line = queue(wants("y", project="young"), wants("o", project="old"), projects=[young, old], held=held)
    assert turns(line) == ["y", "o"]


def test_departments_are_compared_before_their_projects() -> None:
    departments = (DepartmentQueue("full", Quota(1.0)), DepartmentQueue("empty", Quota(3.0), created=5.0))
    projects = [
        ProjectQueue("f1", Quota(1.0), department="full"),
        ProjectQueue("f2", Quota(1.0), department="full"),
        ProjectQueue("e1", Quota(3.0), department="empty", created=9.0),
    ]
    line = queue(
        wants("f", project="f2"),
        wants("e", project="e1"),
        projects=projects,
        departments=departments,
        held=(whole("h", cards()[:1], "f1"),),
    )
    assert turns(line) == ["e", "f"]


def test_non_preemptible_work_beyond_the_quota_waits_with_the_numbers() -> None:
    card = gpu("v100")
    projects = [ProjectQueue("team-a", Quota(1.0))]
    held = (
        shares(interactive("i1", Fraction(0.5)), card, 0.5),
        shares(interactive("i2", Fraction(0.3)), card, 0.3),
    )
    made = decide(cluster(card, projects=projects, held=held, pending=(interactive("i3", Fraction(0.3)),)))
    assert refusal(made, "i3").code is Code.NON_PREEMPTIBLE_OVER_QUOTA
    assert sentence(refusal(made, "i3")) == (
        "non-preemptible work must stay inside the quota: this request takes 0.30 GPUs, and project team-a has a quota "
        "of 1.00, of which non-preemptible work holds 0.80 (allocated 0.80, quota 1.00, fair share 0.80)"
    )


def test_preemptible_work_may_go_over_the_quota_while_gpus_are_free() -> None:
    cards_ = (gpu("v100", "g0", "n0", 0), gpu("v100", "g1", "n0", 1))
    projects = [ProjectQueue("team-a", Quota(1.0))]
    held = tuple(shares(interactive(f"i{i}", Fraction(0.4)), cards_[0], 0.4) for i in range(2))
    wish = request("p", Fraction(0.3), priority=75)
    assert place(decide(cluster(*cards_, projects=projects, held=held, pending=(wish,))), "p")


def test_nobody_goes_over_the_limit_of_the_project_or_of_its_department() -> None:
    projects = [ProjectQueue("team-b", Quota(1.0, limit=1.0))]
    made = decide(queue(wants("b1", created=0), wants("b2", created=1), projects=projects))
    assert place(made, "b1")
    assert refusal(made, "b2").code is Code.OVER_LIMIT
    assert "project team-b may use 1.00 GPUs and this request takes 1.00 more" in sentence(refusal(made, "b2"))
    departments = (DepartmentQueue("dept", Quota(1.0, limit=2.0)),)
    both = [ProjectQueue(name, Quota(1.0), department="dept") for name in ("team-a", "team-b")]
    pending = [wants(f"{team}{i}", project=f"team-{team}", created=i) for team in "ab" for i in range(2)]
    made = decide(queue(*pending, projects=both, departments=departments))
    assert place(made, "a0")
    assert place(made, "b0")
    assert "department dept may use 2.00 GPUs" in sentence(refusal(made, "a1"))


def test_a_gang_is_gated_as_a_whole() -> None:
    projects = [ProjectQueue("team-b", Quota(2.0, limit=2.0))]
    members = [wants(f"m{i}", gang=Gang("gang", 3)) for i in range(3)]
    made = decide(queue(*members, projects=projects))
    assert "gang gang takes 3.00 more" in sentence(refusal(made, "m0"))


def test_a_gang_whose_members_are_not_all_asked_for_waits_for_them() -> None:
    made = decide(queue(wants("m0", gang=Gang("gang", 2)), projects=[ProjectQueue("team-b", Quota(2.0))]))
    assert refusal(made, "m0").code is Code.GANG_DOES_NOT_FIT
    assert "1 of them are here" in sentence(refusal(made, "m0"))


def test_every_job_starts_before_any_grows() -> None:
    elastic = [wants(f"m{i}", gang=Gang("gang", 1), created=i) for i in range(4)]
    line = queue(*elastic, wants("late", created=9), projects=[ProjectQueue("team-b", Quota(9.0))])
    assert turns(line) == ["m0", "late", "m1", "m2", "m3"]
    made = decide(line)
    assert place(made, "m2")
    assert refusal(made, "m3")


def test_what_backs_off_waits_and_is_no_demand() -> None:
    projects = [ProjectQueue("team-a", Quota(1.0)), ProjectQueue("team-b", Quota(1.0))]
    late = wants("late", backing_off_until=30.0)
    g = cards(1, 2)
    held = (whole("a1", g[:1]), whole("a2", g[1:]))
    waiting = cluster(*g, projects=projects, pending=(late,), held=held, now=10.0)
    assert (
        sentence(refusal(decide(waiting), "late"))
        == "its start failed again and again; it is tried again at 00:00:30 UTC"
    )
    account = Ledger(waiting).account("team-a", "default")
    assert account is not None
    assert account.fair_share == 2.0


def test_a_pending_request_counts_where_its_quota_has_room() -> None:
    g = cards(2, 1)
    nodes = (Node("n0", "blue"), Node("n1", "green"))
    project = ProjectQueue("team-b", Quota(0.0), {"green": Quota(1.0), "blue": Quota(1.0)})
    pending = tuple(wants(f"b{i}", created=i) for i in range(2))
    ledger = Ledger(cluster(*g, projects=[project], nodes=nodes, pending=pending))
    assert sorted(ledger.pool_for.values()) == ["blue", "green"]


def test_non_preemptible_demand_beyond_the_quota_takes_no_share_from_others() -> None:
    projects = [ProjectQueue("team-a", Quota(1.0)), ProjectQueue("team-b", Quota(1.0))]
    pending = (
        *(interactive(f"i{i}", WholeGpus(), created=i) for i in range(4)),
        *(wants(f"b{i}", created=i) for i in range(4)),
    )
    ledger = Ledger(queue(*pending, projects=projects))
    shares_ = {name: account.fair_share for (name, _), account in ledger.accounts.items()}
    assert shares_ == {"team-a": 1.0, "team-b": 3.0}


def test_non_preemptible_demand_beyond_the_quota_of_the_department_takes_no_share_from_others() -> None:
    projects = [ProjectQueue("team-a", Quota(3.0), department="d"), ProjectQueue("team-b", Quota(1.0), department="d")]
    pending = (
        *(interactive(f"i{i}", WholeGpus(), created=i) for i in range(4)),
        *(wants(f"b{i}", created=i) for i in range(4)),
    )
    waiting = replace(queue(*pending, projects=projects), departments=(DepartmentQueue("d", Quota(2.0)),))
    accounts = Ledger(waiting).accounts.values()
    assert {account.name: account.wanted for account in accounts} == {"team-a": 2.0, "team-b": 4.0}


def test_room_is_kept_for_what_has_waited_long_and_nobody_behind_it_takes_it() -> None:
    g = cards(1, 2)
    projects = [ProjectQueue("team-a", Quota(0.0)), ProjectQueue("team-b", Quota(2.0), created=1.0)]
    held = (replace(whole("a1", g[:1]), protected="a disruption budget"),)
    big, small = wants("big", 2, created=0.0), wants("small", project="team-a", created=500.0)
    early = cluster(*g, projects=projects, held=held, pending=(big, small), now=599.0)
    assert place(decide(early), "small")
    late = decide(replace(early, now=601.0))
    assert refusal(late, "small")
    assert sentence(refusal(late, "big")) == (
        "it has waited long: 2 whole GPUs on node n0 is reserved for it until a1 (1 whole GPU) end"
    )
    assert place(decide(replace(early, now=601.0, held=())), "big")


def test_no_room_is_kept_where_only_endless_work_would_leave_it() -> None:
    g = cards(1, 2)
    projects = [ProjectQueue("team-a", Quota(1.0)), ProjectQueue("team-b", Quota(1.0), created=1.0)]
    endless = whole("a1", g[:1])
    held = (replace(endless, request=replace(endless.request, preemptible=False)),)
    pending = (wants("big", 2, created=0.0), wants("small", project="team-a", created=500.0))
    made = decide(cluster(*g, projects=projects, held=held, pending=pending, now=9999.0))
    assert place(made, "small")


def test_a_gang_that_is_broken_up_does_not_grow_in_the_same_plan() -> None:
    g = cards(1, 4)
    gang = Gang("gang", 2)
    projects = [ProjectQueue("team-a", Quota(0.0), created=0.0), ProjectQueue("team-b", Quota(4.0), created=1.0)]
    held = (whole("m0", g[:1], gang=gang), whole("m1", g[1:2], gang=gang))
    growing = wants("m2", project="team-a", gang=gang, created=0.0)
    made = decide(
        cluster(*g, projects=projects, held=held, pending=(growing, *(wants(f"b{i}", created=1.0) for i in range(4))))
    )
    assert refusal(made, "m2")
    assert [step.claim for step in made.steps if isinstance(step, Evict)] == ["m0", "m1"]


def test_a_project_without_over_quota_weight_stays_inside_its_quota_though_gpus_are_free() -> None:
    projects = [ProjectQueue("team-a", Quota(1.0, weight=0.0))]
    waiting = tuple(wants(f"a{i}", project="team-a") for i in range(2))
    made = decide(cluster(*cards(1, 2), projects=projects, pending=waiting))
    assert place(made, "a0")
    assert refusal(made, "a1").code is Code.OVER_LIMIT
    assert "project team-a may use 1.00 GPUs" in sentence(refusal(made, "a1"))
