"""Moves that are given: legal together, or refused with the reason, and never half."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from solver.defragment import propose
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Fraction, Gang, Grant, Holding, MigProfile, WholeGpus
from solver.model.plan import Assign, Evict
from solver.model.snapshot import ProjectQueue, Quota, Snapshot
from solver.relocate import relocate, same_place
from tests.depth import THOROUGH
from tests.solver.fleets import random_snapshot
from tests.solver.scenarios import ROOMY, a100, cluster, gpu, holds, instance, request, shares

CASES = 300 if THOROUGH else 30


def grant(on: str, profile: str, start: int, node: str = "n0") -> Grant:
    held = holds(request("x", MigProfile(profile)), a100(on, node), start)
    return held.grant


def two(**change: object) -> Snapshot:
    """X on the first GPU, y on the second, each with a quarter."""
    first = a100("g0", "n0", 0, instance("2g.10gb", 0, "busy", "x"))
    second = a100("g1", "n0", 1, instance("2g.10gb", 0, "busy", "y"))
    x = replace(holds(request("x", MigProfile("2g.10gb")), first, 0), **change)  # type: ignore[arg-type]
    return cluster(first, second, held=(x, holds(request("y", MigProfile("2g.10gb")), second, 0)))


def test_a_legal_move_is_an_eviction_and_an_assignment() -> None:
    found = relocate(two(), {"x": grant("g1", "2g.10gb", 2)}, "somebody wants it")
    assert not found.refused
    evict, *_, assign = found.plan.steps
    assert evict == Evict("x", "", "moved to node n0: somebody wants it")
    assert assign == Assign("x", grant("g1", "2g.10gb", 2))


def test_two_may_change_places() -> None:
    found = relocate(two(), {"x": grant("g1", "2g.10gb", 0), "y": grant("g0", "2g.10gb", 0)}, "")
    assert not found.refused
    assert {s.claim for s in found.plan.steps if isinstance(s, Evict)} == {"x", "y"}


PINNED = {"request": request("x", MigProfile("2g.10gb"), movable=False)}
FIRM = {"request": request("x", MigProfile("2g.10gb"), preemptible=False)}
IN_A_GANG = {"request": request("x", MigProfile("2g.10gb"), gang=Gang("g", 1))}
FREE = grant("g1", "2g.10gb", 2)


@pytest.mark.parametrize(
    ("change", "place", "why"),
    [
        ({}, grant("g1", "2g.10gb", 0), "y holds its place"),
        ({}, grant("g1", "3g.20gb", 4), "the place is not what it asks for"),
        ({}, grant("g1", "2g.10gb", 1), "the place is not what it asks for"),
        ({}, grant("g1", "2g.10gb", 2, "n9"), "node n9 is gone"),
        ({}, grant("g9", "2g.10gb", 2), "GPU g9 is gone"),
        ({}, Grant("n0", ()), "the place is not what it asks for"),
        ({}, replace(FREE, devices=(replace(FREE.devices[0], portion=0.01),)), "the place is not what it asks for"),
        ({}, replace(FREE, devices=(replace(FREE.devices[0], memory_mib=1),)), "the place is not what it asks for"),
        (
            {},
            Grant("n0", (DeviceShare("g1", Backing.SOFTWARE, 0.25, 10240),)),
            "GPU n0/1 is in MIG mode now",
        ),
        (PINNED, FREE, "it is not to be moved"),
        (FIRM, FREE, "it is not preemptible"),
        ({"protected": "a budget"}, FREE, "it is protected: a budget"),
        ({"releasing": True}, FREE, "it is stopping"),
    ],
)
def test_what_is_not_legal_is_refused_with_the_reason(change: dict[str, object], place: Grant, why: str) -> None:
    found = relocate(two(**change), {"x": place}, "")
    assert found.refused == {"x": why}
    assert not found.plan.steps


def test_what_is_gone_cannot_be_moved() -> None:
    assert relocate(two(), {"z": FREE}, "").refused == {"z": "it holds nothing any more"}


def test_nodes_gpus_runtime_and_quota_are_as_they_are_now() -> None:
    state = two()
    away = replace(state, nodes=tuple(replace(node, ready=False) for node in state.nodes))
    assert relocate(away, {"x": FREE}, "").refused == {"x": "node n0 is cordoned or not ready"}
    broken = replace(state, gpus=(state.gpus[0], replace(state.gpus[1], fenced="XID 79")))
    assert relocate(broken, {"x": FREE}, "").refused == {"x": "GPU n0/1 is fenced: XID 79"}
    new = replace(state, projects=(replace(ROOMY, min_runtime_s=60.0),), now=1.0)
    assert relocate(new, {"x": FREE}, "").refused == {"x": "it has not run for its minimum time yet"}
    other = a100("g2", "n1", 0)
    pools = replace(
        state,
        gpus=(*state.gpus, other),
        nodes=(*state.nodes, replace(state.nodes[0], name="n1", pool="fast")),
        projects=(ProjectQueue("team-a", Quota(quota=-1.0), {"fast": Quota(limit=0.1)}),),
    )
    there = grant("g2", "2g.10gb", 0, "n1")
    assert "quota or limit" in relocate(pools, {"x": there}, "").refused["x"]


def test_room_that_is_freed_for_somebody_is_his() -> None:
    waits = request("w", MigProfile("2g.10gb"), nominated=FREE)
    assert "is not free" in relocate(replace(two(), pending=(waits,)), {"x": FREE}, "").refused["x"]


def test_those_that_remain_legal_without_the_refused_are_moved() -> None:
    moves = {"x": grant("g1", "2g.10gb", 2), "z": FREE}
    found = relocate(two(), moves, "")
    assert set(found.refused) == {"z"}
    assert [s.claim for s in found.plan.steps if isinstance(s, Assign)] == ["x"]


def test_who_relied_on_a_refused_one_leaving_is_refused_too() -> None:
    state = two(request=request("x", MigProfile("2g.10gb"), movable=False))
    found = relocate(state, {"x": grant("g1", "2g.10gb", 0), "y": grant("g0", "2g.10gb", 0)}, "")
    assert found.refused == {"x": "it is not to be moved", "y": "x holds its place"}


def test_half_a_gang_is_not_moved() -> None:
    state = two()
    gang = Gang("g", 2)
    held = tuple(replace(h, request=replace(h.request, gang=gang, workload="g")) for h in state.held)
    found = relocate(replace(state, held=held), {"x": FREE}, "")
    assert found.refused == {"x": "the rest of its gang would have to stop with it"}


def test_whole_gpus_and_software_shares() -> None:
    cards = [gpu("v100", f"g{i}", "n0", i) for i in range(3)]
    whole = Holding(request("w", WholeGpus()), Grant("n0", (DeviceShare("g0", Backing.WHOLE, 1.0, 16160),)))
    state = cluster(*cards, held=(whole, shares(request("s", Fraction(0.5)), cards[1], 0.5)))
    onto = Grant("n0", (DeviceShare("g1", Backing.WHOLE, 1.0, 16160),))
    assert relocate(state, {"w": onto}, "").refused == {"w": "s holds its place"}
    free = Grant("n0", (DeviceShare("g2", Backing.WHOLE, 1.0, 16160),))
    assert not relocate(state, {"w": free}, "").refused
    half = Grant("n0", (DeviceShare("g2", Backing.SOFTWARE, 0.5, 8080),))
    assert not relocate(state, {"s": half}, "").refused
    assert relocate(state, {"s": replace(half, devices=(replace(half.devices[0], gpu="g0"),))}, "").refused


@pytest.mark.parametrize("seed", range(CASES))
def test_what_the_planner_proposes_is_legal_and_so_is_the_way_back(seed: int) -> None:
    rng = Random(seed)
    snapshot = random_snapshot(rng, rng.randint(1, 4), 0)
    found = propose(snapshot, 4)
    moves = {m.request.claim: m.new for m in found.moves}
    there = relocate(snapshot, moves, "")
    assert not there.refused
    after = {s.claim: s.grant for s in there.plan.steps if isinstance(s, Assign)}
    assert all(same_place(after[claim], place) for claim, place in moves.items())
