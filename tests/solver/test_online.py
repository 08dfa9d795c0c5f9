"""The indexed search finds what a look at every GPU finds, whatever has happened before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.model.demand import MigProfile, Request
from solver.model.plan import Create, Destroy
from solver.model.snapshot import MemoryRule, Policy, Spreading
from solver.online import Online, StaleDecision
from solver.working_copy.occupancy import Candidate
from solver.working_copy.scoring import best_candidates
from tests.solver.fleets import random_snapshot
from tests.solver.scenarios import a100, cluster, instance, request
from tests.world import World

RANDOM = st.randoms(use_true_random=False)
SPREADINGS = st.sampled_from([{}, {"blue": Spreading.SPREAD}, {"blue": Spreading.SPREAD, "green": Spreading.SPREAD}])


def wishes(rng: Random, gpus: int, count: int) -> list[Request]:
    """Requests of a project without limits, each alone."""
    pending = random_snapshot(rng, gpus, count).pending
    return [replace(r, claim=f"new-{i}", gang=None, project="team-a", preemptible=True) for i, r in enumerate(pending)]


def told(candidates: Sequence[Candidate]) -> list[object]:
    return [(candidate.share, candidate.destroys, candidate.creates) for candidate in candidates]


@settings(max_examples=80, deadline=None)
@given(rng=RANDOM, gpus=st.integers(1, 8), spreading=SPREADINGS)
def test_the_index_finds_what_a_look_at_every_gpu_finds(
    rng: Random, gpus: int, spreading: dict[str, Spreading]
) -> None:
    policy = Policy(spreading=spreading, memory_rules={"default": rng.choice(list(MemoryRule))})
    day = Online(random_snapshot(rng, gpus, 0), policy)
    for wish in wishes(rng, gpus, 25):
        decision = day.decide(wish)
        assert told(decision.candidates if decision else ()) == told(best_candidates(day.cluster, wish, policy))
        if decision:
            day.apply(decision)
        if day.cluster.held and rng.random() < 0.4:
            day.release(rng.choice(sorted(day.cluster.held)))


@settings(max_examples=60, deadline=None)
@given(rng=RANDOM, gpus=st.integers(1, 6))
def test_every_decision_may_be_carried_out(rng: Random, gpus: int) -> None:
    snapshot = random_snapshot(rng, gpus, 0)
    day, world = Online(snapshot), World(snapshot)
    for wish in wishes(rng, gpus, 12):
        if decision := day.decide(wish):
            world.carry_out(decision)
            day.apply(decision)
        if day.cluster.held and rng.random() < 0.4:
            claim = rng.choice(sorted(day.cluster.held))
            day.release(claim)
            world.release(claim)


def test_what_is_released_stays_idle_and_is_reused_or_destroyed() -> None:
    day = Online(cluster(a100()))
    first = day.decide(request("a", MigProfile("3g.20gb")))
    assert first is not None
    assert first.operations == 1
    day.apply(first)
    day.release("a")
    again = day.decide(request("b", MigProfile("3g.20gb")))
    assert again is not None
    assert (again.grant, again.operations) == (first.grant, 0)
    other = day.decide(request("c", MigProfile("7g.40gb")))
    assert other is not None
    assert [type(step) for step in other.steps[:2]] == [Destroy, Create]


def test_a_decision_is_good_for_the_cluster_it_was_made_on() -> None:
    day = Online(cluster(a100("g0", "n0", 0, instance("1g.5gb", 0, "foreign"))))
    first, second = (day.decide(request(name, MigProfile("4g.20gb"))) for name in "ab")
    assert first is None
    assert second is None
    one, two = (day.decide(request(name, MigProfile("3g.20gb"))) for name in "ab")
    assert one is not None
    assert two is not None
    day.apply(one)
    with pytest.raises(StaleDecision, match="b was decided on before"):
        day.apply(two)


def test_a_long_day_forgets_its_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solver.online.MOST_CHANGES", 10)
    day = Online(cluster(a100(), a100("g1", "n1")))
    for number in range(40):
        decision = day.decide(request(f"c{number}", MigProfile("2g.10gb")))
        assert decision is not None
        day.apply(decision)
        if number >= 5:
            day.release(f"c{number - 5}")
    assert len(day.cluster.changes) <= 20
