"""Who makes room for whom, how few, and what is reserved while they go."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from migctl.reason_text import sentence
from solver.model.demand import Demand, Fraction, Holding, MigProfile, Request, WholeGpus
from solver.model.plan import Destroy, Evict
from solver.model.reasons import Unplaced
from solver.model.snapshot import Policy, ProjectQueue, Quota, Snapshot
from tests.depth import THOROUGH
from tests.solver.brute_force import opening_sets
from tests.solver.fleets import random_snapshot
from tests.solver.scenarios import (
    ROOMY,
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
    starts,
)


def kinds(steps: object) -> list[str]:
    return [type(step).__name__ for step in steps]  # type: ignore[attr-defined]


def test_an_interactive_half_evicts_exactly_the_training_at_four() -> None:
    card = a100("g0", "n0", 0, *(instance("2g.10gb", s, "busy", f"t{s}") for s in (0, 2, 4)))
    held = tuple(holds(request(f"t{s}", MigProfile("2g.10gb"), created=s), card, s, since=s) for s in (0, 2, 4))
    made = decide(cluster(card, held=held, pending=(interactive("i", MigProfile("3g.20gb")),)))
    assert starts(made, "i") == [("3g.20gb", 4)]
    assert place(made, "i").waits_for == ("t4",)
    assert kinds(made.steps) == ["Evict", "Destroy", "Create", "Assign"]
    assert made.steps[0].claim == "t4"  # type: ignore[union-attr]


def test_equal_priority_is_not_evicted() -> None:
    card = a100("g0", "n0", 0, instance("7g.40gb", 0, "busy", "t"))
    held = (holds(request("t", MigProfile("7g.40gb")), card, 0),)
    made = decide(cluster(card, held=held, pending=(request("u", MigProfile("1g.5gb")),)))
    assert refusal(made, "u").blockers is not None
    assert not made.steps


@pytest.mark.parametrize("change", [{"protected": "a disruption budget"}, {"releasing": True}])
def test_the_protected_stay_and_the_leaving_are_waited_for(change: dict[str, object]) -> None:
    card = a100("g0", "n0", 0, instance("7g.40gb", 0, "busy", "t"))
    held = (replace(holds(request("t", MigProfile("7g.40gb")), card, 0), **change),)  # type: ignore[arg-type]
    made = decide(cluster(card, held=held, pending=(interactive("u", MigProfile("1g.5gb")),)))
    assert not any(isinstance(step, Evict) for step in made.steps)
    assert isinstance(made.outcomes["u"], Unplaced) is ("protected" in change)


def test_the_newest_of_equals_goes() -> None:
    card = gpu("v100")
    held = tuple(shares(request(f"t{i}", Fraction(0.5)), card, 0.5, since=i) for i in range(2))
    made = decide(cluster(card, held=held, pending=(interactive("u", Fraction(0.5)),)))
    assert place(made, "u").waits_for == ("t1",)


def test_an_equal_instance_left_behind_is_reused() -> None:
    card = a100("g0", "n0", 0, instance("7g.40gb", 0, "busy", "t"))
    held = (holds(request("t", MigProfile("7g.40gb")), card, 0),)
    made = decide(cluster(card, held=held, pending=(interactive("u", MigProfile("7g.40gb")),)))
    assert kinds(made.steps) == ["Evict", "Assign"]


def test_two_that_need_one_victim_evict_it_once() -> None:
    card = a100("g0", "n0", 0, instance("7g.40gb", 0, "busy", "t"))
    held = (holds(request("t", MigProfile("7g.40gb")), card, 0),)
    wishes = (interactive("u", MigProfile("3g.20gb")), interactive("v", MigProfile("3g.20gb")))
    made = decide(cluster(card, held=held, pending=wishes))
    assert place(made, "u").waits_for == place(made, "v").waits_for == ("t",)
    assert sum(isinstance(step, Evict) for step in made.steps) == 1
    assert sum(isinstance(step, Destroy) for step in made.steps) == 1


def test_no_more_evictions_than_the_policy_allows() -> None:
    card = gpu("v100")
    held = tuple(shares(request(f"t{i}", Fraction(0.5)), card, 0.5) for i in range(2))
    snapshot = cluster(card, held=held, pending=(interactive("u", WholeGpus()),))
    assert isinstance(decide(snapshot, Policy(evictions=1)).outcomes["u"], Unplaced)
    assert place(decide(snapshot, Policy(evictions=2)), "u")


def test_a_nominated_place_is_kept_until_it_is_free() -> None:
    card = a100("g0", "n0", 0, instance("7g.40gb", 0, "busy", "t"))
    victim = holds(request("t", MigProfile("7g.40gb")), card, 0, releasing=True)
    wish = interactive("u", MigProfile("3g.20gb"))
    nominated = holds(wish, card, 4).grant
    rival = interactive("r", MigProfile("3g.20gb"), created=-1.0)
    waiting = cluster(card, held=(victim,), pending=(rival, replace(wish, nominated=nominated)))
    made = decide(waiting)
    assert place(made, "u").grant == nominated
    assert place(made, "u").waits_for == ("t",)
    freed = replace(waiting, held=(), gpus=(a100("g0", "n0", 0, instance("7g.40gb", 0)),))
    assert place(decide(freed), "u").grant == nominated
    assert place(decide(freed), "u").waits_for == ()


def test_a_nomination_on_a_node_that_went_is_dropped() -> None:
    wish = interactive("u", MigProfile("3g.20gb"))
    lost = holds(wish, a100("gone", "gone"), 4).grant
    made = decide(cluster(a100(), pending=(replace(wish, nominated=lost),)))
    assert place(made, "u").grant.node == "n0"


EXAMPLES = 10_000 if THOROUGH else 200


@pytest.mark.parametrize("seed", range(10))
def test_the_cheapest_evictions_open_a_place(seed: int) -> None:
    """Lowest priority, then least GPUs, then fewest pods, among all sets of victims that brute force finds."""
    rng = Random(seed)
    for _ in range(EXAMPLES // 10):
        snapshot, wish = crowded(rng)
        made = decide(snapshot, Policy(evictions=100, tries=0))
        victims = {step.claim for step in made.steps if isinstance(step, Evict)}
        held = {h.request.claim: h for h in snapshot.held}
        allowed = {c for c, h in held.items() if h.request.preemptible and h.request.priority < 100 and not h.protected}
        sets = [gone for node in snapshot.nodes for gone in opening_sets(snapshot, node, wish) if gone <= allowed]
        costs = [loss([held[claim] for claim in gone]) for gone in sets]
        assert isinstance(made.outcomes[wish.claim], Unplaced) is (not costs), snapshot
        if costs:
            assert loss([held[claim] for claim in victims]) == min(costs), (snapshot, victims)


def loss(victims: list[Holding]) -> tuple[int, float, int]:
    gpus = sum(share.portion for victim in victims for share in victim.grant.devices)
    return max((v.request.priority for v in victims), default=0), round(gpus, 6), len(victims)


def crowded(rng: Random) -> tuple[Snapshot, Request]:
    """Up to four GPUs of one project, some of whose holders must stay, and an interactive request."""
    snapshot = random_snapshot(rng, rng.randint(1, 4), 1)
    nodes = tuple(replace(n, cpu_milli=None, ready=True) for n in snapshot.nodes)
    held = tuple(replace(h, request=replace(h.request, project="team-a")) for h in snapshot.held)
    profiles = [p.name for m in snapshot.models.values() for p in m.profiles if p.starts]
    demands: list[Demand] = [*(MigProfile(name) for name in profiles), Fraction(0.5), Fraction(0.75, 2), WholeGpus()]
    wish = interactive("p", rng.choice(demands))
    return replace(snapshot, nodes=nodes, held=held, pending=(wish,), projects=(ROOMY,)), wish


def test_reserved_room_does_not_destroy_what_others_would_build_on() -> None:
    """Room is reserved on two GPUs, one under an idle instance: work beyond its fair share may not take that."""
    idle = a100("g0", "n0", 0, instance("3g.20gb", 0), instance("3g.20gb", 4, "foreign"))
    firm = (instance("4g.20gb", 0, "foreign"), instance("2g.10gb", 4, "foreign"))
    busy = a100("g1", "n0", 1, *firm, instance("1g.5gb", 6, "busy", "x"))
    held = (holds(request("x", MigProfile("1g.5gb")), busy, 6),)
    new = request("new", MigProfile("1g.5gb"), project="team-b", created=1.0)
    wishes = (request("old", MigProfile("1g.5gb", 2)), new)
    teams = (ROOMY, ProjectQueue("team-b", Quota(weight=0.0)))
    made = decide(cluster(idle, busy, held=held, pending=wishes, projects=teams, now=1000.0), Policy(evictions=0))
    assert "reserved for it" in sentence(refusal(made, "old"))
    assert isinstance(made.outcomes["new"], Unplaced)
