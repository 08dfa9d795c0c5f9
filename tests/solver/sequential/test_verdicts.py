"""What is said of a request that waits is the exact truth: who blocks it, how few, what would free it."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from types import MappingProxyType

import pytest

from migctl.reason_text import sentence
from solver.model.cluster import Gpu, Node
from solver.model.demand import Demand, Fraction, Grant, Holding, Memory, MigProfile, Request, WholeGpus
from solver.model.plan import Placed
from solver.model.reasons import Code
from solver.model.snapshot import Policy, ProjectQueue, Quota, Snapshot
from solver.planner import plan
from tests.depth import THOROUGH
from tests.solver.brute_force import smallest_blocking_set
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
    refusal,
    request,
    shares,
)

WISH = MigProfile("1g.5gb")
TWO_TEAMS = (ProjectQueue("team-a", Quota(1.0)), ProjectQueue("team-b", Quota(1.0)))
"""team-b holds 0.7 of a GPU that team-a asks for."""


@pytest.mark.parametrize(
    ("demand", "gpus", "code", "said"),
    [
        (Memory(8000), [gpu("v100")], "no-free-gpu", "8000 MiB of GPU memory free: GPU n0/0 has 4848 MiB free"),
        (WholeGpus(2), [gpu("v100"), gpu("v100", "g1", index=1)], "no-free-gpu", "no node has 2 whole GPUs free"),
        (WholeGpus(), [gpu("v100")], "no-free-gpu", "fair share 1.00; project team-b: allocated 0.70, quota 1.00"),
        (WholeGpus(), [replace(gpu("v100"), fenced="XID 79")], "gpus-fenced", "is fenced: n0/0: XID 79"),
        (WISH, [replace(a100(), mig=False)], "wrong-mig-mode", "needs MIG mode, which is off on n0/0"),
        (WholeGpus(), [replace(gpu("v100"), foreign_mib=9000)], "blocked-by-others", "9000 MiB of other processes"),
    ],
)
def test_a_reason_is_the_true_one_in_the_unit_of_the_request(
    demand: Demand, gpus: list[Gpu], code: str, said: str
) -> None:
    """C2: what is fenced or in the other mode is not too big, memory is not answered in fractions, nor GPUs in GPUs."""
    holder = shares(request("x", Fraction(0.7), "team-b"), gpus[0], 0.7)
    held = (holder,) if code == "no-free-gpu" else ()
    state = cluster(*gpus, held=held, pending=(request("a", demand, "team-a"),), projects=TWO_TEAMS)
    reason = refusal(decide(state), "a")
    assert reason.code == code
    assert said in sentence(reason)


INSTANCES = 10_000 if THOROUGH else 400


def small_case(rng: Random) -> tuple[Snapshot, Request]:
    """Up to four GPUs whose holders take CPU, keep distance and hold several devices, and one more request."""
    snapshot = random_snapshot(rng, rng.randint(1, 4), 1)
    nodes = tuple(replace(n, cpu_milli=rng.choice([None, 0, 500, 2000])) for n in snapshot.nodes)
    held = tuple(_burdened(rng, holding) for holding in snapshot.held)
    wish = replace(snapshot.pending[0], gang=None, project="team-a", preemptible=True, priority=50)
    if rng.random() < 0.85:
        wish = replace(wish, pools=(), node_selector=MappingProxyType({}), excluded=frozenset())
    return _twinned(rng, replace(snapshot, nodes=nodes, held=held, pending=(wish,), projects=(ROOMY,))), wish


def _burdened(rng: Random, holding: Holding) -> Holding:
    cpu, key = rng.choice([0, 500, 1000]), rng.choice([None, None, "k"])
    return replace(holding, request=replace(holding.request, cpu_milli=cpu, anti_affinity=key, project="team-a"))


def _twinned(rng: Random, snapshot: Snapshot) -> Snapshot:
    """Two claims of a node on different GPUs become one claim of two devices, now and then."""
    if len(snapshot.held) < 2 or rng.random() < 0.5:
        return snapshot
    first, second = rng.sample(snapshot.held, 2)
    if first.grant.node != second.grant.node or first.grant.devices[0].gpu == second.grant.devices[0].gpu:
        return snapshot
    old, new = second.request.claim, first.request.claim
    both = replace(first, grant=Grant(first.grant.node, (*first.grant.devices, *second.grant.devices)))
    gpus = tuple(_renamed(g, old, new) for g in snapshot.gpus)
    held = (both, *(h for h in snapshot.held if h not in (first, second)))
    return replace(snapshot, gpus=gpus, held=held)


def _renamed(card: Gpu, old: str, new: str) -> Gpu:
    return replace(
        card,
        instances=tuple(replace(i, claim=new) if i.claim == old else i for i in card.instances),
        parts=tuple(replace(p, claim=new) if p.claim == old else p for p in card.parts),
    )


@pytest.mark.parametrize("seed", range(10))
def test_the_blocking_set_is_the_smallest(seed: int) -> None:
    """As many go as brute force finds, none where it finds none; and a place is given exactly where one is free."""
    rng = Random(seed)
    for _ in range(INSTANCES // 10):
        snapshot, wish = small_case(rng)
        outcome = plan(snapshot, Policy(evictions=0, reserve_after_s=math.inf)).outcomes[wish.claim]
        fewest = smallest_blocking_set(snapshot, wish)
        if isinstance(outcome, Placed):
            assert fewest == 0, snapshot
            continue
        stopping = {h.request.claim for h in snapshot.held if h.releasing}
        told = None if outcome.blockers is None else len(set(outcome.blockers.claims) - stopping)
        assert told == fewest, (snapshot, outcome)


def test_the_verdict_says_where_who_and_what_frees_it() -> None:
    """One small job in the middle keeps a GPU of six free units from being used; it could move, within no budget."""
    first, second = a100("g0", "n0", 0, instance("1g.5gb", 5, "busy", "x")), a100("g1", "n1", 0)
    second = replace(second, instances=(instance("7g.40gb", 0, "busy", "y"),))
    first = replace(first, instances=(*first.instances, instance("3g.20gb", 0, "busy", "z")))
    held = (
        holds(request("x", MigProfile("1g.5gb")), first, 5),
        holds(interactive("y", MigProfile("7g.40gb")), second, 0),
        holds(interactive("z", MigProfile("3g.20gb")), first, 0),
    )
    small = a100("g2", "n1", 1, instance("4g.20gb", 0, "foreign"), instance("1g.5gb", 4, "foreign"))
    wish = request("a", MigProfile("3g.20gb"))
    made = decide(cluster(first, second, small, held=held, pending=(wish,)), Policy(evictions=0))
    reason = refusal(made, "a")
    assert reason.blockers is not None
    assert reason.blockers.claims == ("x",)
    assert sentence(reason).startswith(
        "no free start for 3g.20gb: GPU n0/0 needs 4 units together at 0 or 4 and has 3 free units; "
        "x (1g.5gb) at 5 blocks 4; "
        "one move frees it: x (1g.5gb) to n1/1"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"protected": "a budget"}, "x is protected: a budget"),
        ({"since": 90.0}, "x has not run for its minimum time yet"),
        ({}, "x would have to end: no other place is free for it"),
        ({"request": request("x", MigProfile("7g.40gb"), movable=False)}, "x would have to end: it is not to be moved"),
    ],
)
def test_the_verdict_says_why_a_blocker_is_still_there(change: dict[str, object], words: str) -> None:
    card = a100("g0", "n0", 0, instance("7g.40gb", 0, "busy", "x"))
    held = (replace(holds(request("x", MigProfile("7g.40gb")), card, 0), **change),)  # type: ignore[arg-type]
    projects = (replace(ROOMY, min_runtime_s=60.0),)
    made = decide(cluster(card, held=held, projects=projects, pending=(request("a", WISH),), now=100.0))
    assert words in sentence(refusal(made, "a"))
    assert "a unit at 0 to 6 and has 0 free units" in sentence(refusal(made, "a"))


def test_several_devices_name_every_gpu_and_a_shared_holder_once() -> None:
    cards = [a100(f"g{i}", "n0", i, instance("7g.40gb", 0, "busy", c)) for i, c in enumerate(("x", "y", "x"))]
    one = holds(interactive("x", MigProfile("7g.40gb", 2)), cards[0], 0)
    other = holds(interactive("x", MigProfile("7g.40gb", 2)), cards[2], 0)
    both = replace(one, grant=Grant("n0", (*one.grant.devices, *other.grant.devices)))
    held = (both, holds(interactive("y", MigProfile("7g.40gb")), cards[1], 0))
    made = decide(cluster(*cards, held=held, pending=(request("a", MigProfile("3g.20gb", 2)),)))
    reason = refusal(made, "a")
    assert reason.blockers is not None
    assert reason.blockers.claims == ("x",)
    assert "GPU n0/0" in sentence(reason)
    assert "GPU n0/2" in sentence(reason)


def test_the_cpu_of_a_node_has_holders_too() -> None:
    card = gpu("v100")
    busy = replace(request("x", Memory(1000)), cpu_milli=3000)
    held = (shares(busy, card, 0.1), shares(request("y", Memory(1000)), card, 0.1))
    wish = replace(request("a", Memory(2000)), cpu_milli=2000)
    nodes = (Node("n0", cpu_milli=1000),)
    made = decide(cluster(card, held=held, nodes=nodes, pending=(wish,)))
    reason = refusal(made, "a")
    assert reason.blockers is not None
    assert reason.blockers.claims == ("x",)
    assert "held the CPU, memory or distance" not in sentence(reason)


def test_no_node_has_the_cpu_even_when_empty() -> None:
    wish = replace(request("a", WholeGpus()), cpu_milli=2000)
    made = decide(cluster(gpu("v100"), nodes=(Node("n0", cpu_milli=1000),), pending=(wish,)))
    assert refusal(made, "a").code is Code.NO_CPU_OR_MEMORY
    assert "no node has 2 CPU beside 1 whole GPU, even without any other work" in sentence(refusal(made, "a"))
