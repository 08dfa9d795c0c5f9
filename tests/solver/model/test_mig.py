"""MIG decisions on one or two GPUs: roundings, reuse, what is planned around."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migctl.reason_text import sentence
from solver import planner
from solver.model.cluster import Backing, Node
from solver.model.demand import ContainerDemands, Demand, Fraction, Memory, MigProfile, WholeGpus
from solver.model.plan import Create, Destroy, Placed
from solver.model.reasons import Code
from solver.model.snapshot import MemoryRule, Policy
from tests.solver.scenarios import a100, cluster, decide, holds, instance, interactive, place, refusal, request, starts

LEAVING = (("2g.10gb", 0, "a"), ("2g.10gb", 2, "b"), ("3g.20gb", 4, "c"))

TEN_GB = Memory(9537)


@pytest.mark.parametrize(
    ("demand", "profile", "text"),
    [
        (TEN_GB, "2g.10gb", "10 GB -> 2g.10gb (9856 MiB)"),
        (Memory(4769), "1g.5gb", "5 GB -> 1g.5gb (4864 MiB)"),
        (Memory(5120), "2g.10gb", "5 GiB -> 2g.10gb (9856 MiB)"),
        (Fraction(0.5), "3g.20gb", "0.5 GPU -> 3g.20gb (19968 MiB)"),
        (Fraction(0.1), "1g.5gb", "0.1 GPU -> 1g.5gb (4864 MiB)"),
        (Fraction(0.6), "7g.40gb", "0.6 GPU -> 7g.40gb (40192 MiB)"),
        (MigProfile("4g.20gb"), "4g.20gb", ""),
        (Memory(9856), "2g.10gb", ""),
    ],
)
def test_wishes_become_the_smallest_profile(demand: Demand, profile: str, text: str) -> None:
    made = decide(cluster(a100(), pending=(request("a", demand),)))
    assert place(made, "a").grant.devices[0].profile == profile
    assert place(made, "a").rounded == text


@pytest.mark.parametrize("demand", [TEN_GB, Fraction(0.25)])
def test_least_compute_prefers_the_smaller_of_equal_memory(demand: Demand) -> None:
    policy = Policy(memory_rules={"default": MemoryRule.LEAST_COMPUTE})
    made = decide(cluster(a100(), pending=(request("a", demand),)), policy)
    assert place(made, "a").grant.devices[0].profile == "1g.10gb"


@pytest.mark.parametrize("many", [256, 1])
def test_each_pool_has_its_own_memory_rule(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(planner, "MANY", many)
    policy = Policy(memory_rules={"thrifty": MemoryRule.LEAST_COMPUTE})
    pending = tuple(request(f"{pool}-{i}", TEN_GB, pools=(pool,)) for pool in ("fair", "thrifty") for i in range(2))
    gpus = (a100("g0", "n0"), a100("g1", "n1"))
    made = decide(cluster(*gpus, nodes=(Node("n0", "fair"), Node("n1", "thrifty")), pending=pending), policy)
    profiles = {claim: place(made, claim).grant.devices[0].profile for claim in made.outcomes}
    assert profiles == {"fair-0": "2g.10gb", "fair-1": "2g.10gb", "thrifty-0": "1g.10gb", "thrifty-1": "1g.10gb"}


def test_a_memory_request_and_two_profiles_fill_the_three_starts() -> None:
    wishes = (request("a", TEN_GB), request("b", MigProfile("2g.10gb")), request("c", MigProfile("2g.10gb")))
    made = decide(cluster(a100(), pending=wishes))
    assert sorted(starts(made, "a", "b", "c")) == [("2g.10gb", 0), ("2g.10gb", 2), ("2g.10gb", 4)]


def test_an_idle_instance_is_reused() -> None:
    card = a100("g0", "n0", 0, instance("2g.10gb", 2))
    made = decide(cluster(card, pending=(request("a", MigProfile("2g.10gb")),)))
    assert starts(made, "a") == [("2g.10gb", 2)]
    assert not any(isinstance(step, Create | Destroy) for step in made.steps)


def test_idle_instances_are_spared_while_there_is_room() -> None:
    card = a100("g0", "n0", 0, instance("2g.10gb", 0), instance("1g.5gb", 2))
    made = decide(cluster(card, pending=(request("a", MigProfile("3g.20gb")),)))
    assert starts(made, "a") == [("3g.20gb", 4)]
    assert not any(isinstance(step, Destroy) for step in made.steps)


def test_the_fewest_idle_instances_are_destroyed() -> None:
    idle = [instance("1g.5gb", s) for s in (0, 1, 2)]
    made = decide(cluster(a100("g0", "n0", 0, *idle, instance("2g.10gb", 4)), pending=(request("a", Fraction(0.5)),)))
    assert [s for s in made.steps if isinstance(s, Destroy)] == [Destroy("g0", "2g.10gb", 4)]


def test_an_idle_media_instance_elsewhere_goes_when_its_engines_are_needed() -> None:
    card = a100("g0", "n0", 0, instance("1g.5gb+me", 0), instance("1g.5gb", 1, "foreign"))
    wishes = (request("a", MigProfile("1g.5gb+me")), request("b", MigProfile("1g.5gb+me")))
    made = decide(cluster(card, pending=wishes))
    assert starts(made, "a") == [("1g.5gb+me", 0)]
    assert "requests ahead of it take the room" in sentence(refusal(made, "b"))
    taken = a100("g0", "n0", 0, instance("1g.5gb+me", 0, "busy", "x"))
    made = decide(cluster(taken, pending=(request("a", MigProfile("1g.5gb+me")),)))
    assert refusal(made, "a").blockers is not None


def test_foreign_and_quarantined_instances_are_planned_around() -> None:
    card = a100("g0", "n0", 0, instance("3g.20gb", 4, "foreign"), instance("1g.5gb", 0, "quarantined"))
    made = decide(cluster(card, pending=(request("a", MigProfile("2g.10gb")), request("b", MigProfile("3g.20gb")))))
    assert starts(made, "a") == [("2g.10gb", 2)]
    assert "may not touch" in sentence(refusal(made, "b"))


def test_a_memory_request_that_waits_for_room_gets_the_profile_that_a_free_place_would_have() -> None:
    """E5: it got 1g.10gb of the room that an instance left behind, where 2g.10gb fitted as well."""
    card = a100("g0", "n0", 0, *(instance(p, s, "busy", c) for p, s, c in LEAVING))
    held = tuple(holds(interactive(c, MigProfile(p)), card, s) for p, s, c in LEAVING)
    waiting = (request("w", Memory(9537)),)
    made = decide(cluster(card, held=(*held[:2], replace(held[2], releasing=True)), pending=waiting))
    assert place(made, "w").waits_for == ("c",)
    assert starts(made, "w") == [("2g.10gb", 4)]
    each = ContainerDemands((Memory(9537), MigProfile("1g.5gb")))
    made = decide(cluster(card, held=(*held[:2], replace(held[2], releasing=True)), pending=(request("w", each),)))
    assert place(made, "w").waits_for == ("c",)


def test_an_allocation_not_yet_prepared_occupies_its_place() -> None:
    card = a100()
    first = request("a", MigProfile("3g.20gb"))
    made = decide(cluster(card, held=(holds(first, card, 4),), pending=(request("b", MigProfile("3g.20gb")),)))
    assert starts(made, "b") == [("3g.20gb", 0)]


def test_several_devices_stand_on_several_gpus_of_one_node() -> None:
    made = decide(cluster(a100("g0"), a100("g1", index=1), pending=(request("a", Fraction(0.5, 2)),)))
    assert {share.gpu for share in place(made, "a").grant.devices} == {"g0", "g1"}


def test_whole_gpus_and_mig_mode() -> None:
    made = decide(cluster(a100(), a100("g1", index=1), pending=(request("a", WholeGpus(2)),)))
    assert refusal(made, "a").code is Code.WRONG_MIG_MODE
    assert "MIG mode" in sentence(refusal(made, "a"))


def test_a_whole_gpu_is_the_largest_instance_where_no_gpu_is_without_mig_mode() -> None:
    plain = replace(a100("g1", index=1), mig=False)
    waiting = (request("a", WholeGpus()),)
    alone, beside = (decide(cluster(*cards, pending=waiting)) for cards in ((a100(),), (a100(), plain)))
    assert starts(alone, "a") == [("7g.40gb", 0)]
    assert place(alone, "a").grant.devices[0].portion == 1.0
    assert "the GPU is in MIG mode" in place(alone, "a").rounded
    assert place(beside, "a").grant.devices[0].backing is Backing.WHOLE


def test_whole_gpus_in_mig_mode_are_counted_alike_by_the_batch() -> None:
    cards = [a100(f"g{i}", f"n{i}") for i in range(300)]
    waiting = tuple(request(f"r{i}", WholeGpus(), created=float(i)) for i in range(310))
    made = decide(cluster(*cards, pending=waiting))
    assert sum(isinstance(outcome, Placed) for outcome in made.outcomes.values()) == 300


def test_an_unknown_profile_names_the_valid_ones() -> None:
    made = decide(cluster(a100(), pending=(request("a", MigProfile("5g.30gb")),)))
    assert refusal(made, "a").code is Code.NO_SUCH_PROFILE
    assert "3g.20gb" in sentence(refusal(made, "a"))


def test_enough_units_and_no_legal_start() -> None:
    card = a100("g0", "n0", 0, instance("1g.5gb", 1, "busy", "x"), instance("1g.5gb", 5, "busy", "y"))
    held = tuple(holds(interactive(c, MigProfile("1g.5gb")), card, s) for c, s in (("x", 1), ("y", 5)))
    made = decide(cluster(card, held=held, pending=(request("a", MigProfile("3g.20gb")),)))
    reason = refusal(made, "a")
    assert reason.code is Code.NO_FREE_GPU
    assert reason.blockers is not None
    assert len(reason.blockers.claims) == 1
    assert "6 free units" in sentence(reason)
    assert "0 or 4" in sentence(reason)
