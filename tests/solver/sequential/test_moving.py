"""Room by moving work: as few moves as brute force finds, nobody moved who may not be, everybody with a new place."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from migctl.reason_text import sentence
from solver.model.demand import Fraction, Gang, MigProfile, Request
from solver.model.plan import Assign, Evict
from solver.model.reasons import Unplaced
from solver.model.snapshot import Policy, Snapshot
from tests.depth import THOROUGH
from tests.solver.brute_force import fewest_moves
from tests.solver.fleets import random_snapshot
from tests.solver.scenarios import ROOMY, a100, cluster, decide, gpu, holds, instance, place, refusal, request, shares

INSTANCES = 10_000 if THOROUGH else 100
MOST = 3


def small_case(rng: Random) -> tuple[Snapshot, Request]:
    """Up to three GPUs, most of their work movable, and one more request that may push nobody aside."""
    snapshot = random_snapshot(rng, rng.randint(1, 3), 1, models=("a100-40gb", "a30", "v100"))
    nodes = tuple(replace(n, cpu_milli=None, ready=True) for n in snapshot.nodes)
    held = tuple(
        replace(
            h,
            releasing=False,
            request=replace(
                h.request, project="team-a", priority=50, preemptible=rng.random() < 0.9, movable=rng.random() < 0.9
            ),
        )
        for h in snapshot.held
    )
    profiles = [p.name for m in snapshot.models.values() for p in m.profiles if p.starts and not p.variant]
    demand = (
        MigProfile(rng.choice(profiles)) if profiles and rng.random() < 0.8 else Fraction(rng.choice([0.3, 0.5, 0.75]))
    )
    wish = request("p", demand)
    return replace(snapshot, nodes=nodes, held=held, pending=(wish,), projects=(ROOMY,)), wish


@pytest.mark.parametrize("seed", range(10))
def test_the_moves_are_the_fewest(seed: int) -> None:
    rng = Random(seed)
    for _ in range(INSTANCES // 10):
        snapshot, wish = small_case(rng)
        movable = frozenset(
            h.request.claim for h in snapshot.held if h.request.preemptible and h.request.movable and not h.protected
        )
        made = decide(snapshot, Policy(evictions=MOST, tries=100_000))
        evicted = {step.claim for step in made.steps if isinstance(step, Evict)}
        assert evicted <= movable
        assert evicted <= {step.claim for step in made.steps if isinstance(step, Assign)}
        told = None if isinstance(made.outcomes[wish.claim], Unplaced) else len(evicted)
        assert told == fewest_moves(snapshot, wish, movable, MOST), (snapshot, made.outcomes)


def test_one_move_makes_room_for_another() -> None:
    """A half GPU's place is taken by a third, which has a place on a GPU that is too small for the half."""
    cards = [gpu("v100", f"g{i}", "n0", i) for i in range(3)]
    held = (
        shares(request("half", Fraction(0.5)), cards[0], 0.5),
        shares(request("third", Fraction(0.3)), cards[1], 0.3),
        shares(replace(request("firm-1", Fraction(0.3)), preemptible=False), cards[1], 0.3),
        shares(replace(request("firm-2", Fraction(0.6)), preemptible=False), cards[2], 0.6),
    )
    made = decide(cluster(*cards, held=held, pending=(request("whole", Fraction(0.9)),)))
    assert place(made, "whole").grant.devices[0].gpu == "g0"
    moves = {s.claim: s.grant.devices[0].gpu for s in made.steps if isinstance(s, Assign)}
    assert moves == {"whole": "g0", "half": "g1", "third": "g2"}


def test_the_moved_may_take_what_another_moved_leaves() -> None:
    """Two halves of a GPU change into one other shape: the smaller one comes to stand where the larger one stood."""
    card = a100("g0", "n0", 0, instance("2g.10gb", 2, "busy", "x"), instance("1g.5gb", 5, "busy", "y"))
    held = (holds(request("x", MigProfile("2g.10gb")), card, 2), holds(request("y", MigProfile("1g.5gb")), card, 5))
    made = decide(cluster(card, held=held, pending=(request("a", MigProfile("4g.20gb")),)))
    assert place(made, "a").grant.devices[0].start == 0
    assert {s.claim for s in made.steps if isinstance(s, Evict)} == {"x", "y"}


def scattered(pinned: bool, waiting: Request) -> Snapshot:
    """Two GPUs, each with a preemptible job on it; both would fit on one."""
    cards = [gpu("v100", f"g{i}", "n0", i) for i in range(2)]
    held = (
        shares(request("x", Fraction(0.4), movable=not pinned), cards[0], 0.4),
        shares(request("y", Fraction(0.5), movable=not pinned), cards[1], 0.5),
    )
    return cluster(*cards, held=held, pending=(waiting,))


def test_what_is_not_to_be_moved_stays_and_is_named() -> None:
    """Though it may be preempted: a more important job of its project still pushes it aside."""
    equal = request("a", Fraction(0.9))
    assert place(decide(scattered(False, equal)), "a").waits_for
    made = decide(scattered(True, equal))
    assert sentence(refusal(made, "a")).endswith(
        "it is not to be moved; project team-a: allocated 0.90, quota unlimited, fair share 1.80"
    )
    assert not made.steps
    evicted = [s for s in decide(scattered(True, replace(equal, priority=75))).steps if isinstance(s, Evict)]
    assert len(evicted) == 1


def test_a_gang_goes_only_where_all_its_members_may_be_moved() -> None:
    """Moving one member restarts its gang."""
    snapshot = scattered(False, request("a", Fraction(0.9)))
    gang = Gang("g", 2)
    x, y = (replace(h, request=replace(h.request, gang=gang, workload="g")) for h in snapshot.held)
    y = replace(y, request=replace(y.request, movable=False))
    assert not decide(replace(snapshot, held=(x, y))).steps


def test_no_search_is_endless() -> None:
    """With no tries left, the request waits."""
    cards = [gpu("v100", f"g{i}", "n0", i) for i in range(2)]
    held = (shares(request("x", Fraction(0.4)), cards[0], 0.4), shares(request("y", Fraction(0.5)), cards[1], 0.5))
    wish = request("a", Fraction(0.9))
    assert isinstance(decide(cluster(*cards, held=held, pending=(wish,)), Policy(tries=0)).outcomes["a"], Unplaced)
    assert place(decide(cluster(*cards, held=held, pending=(wish,))), "a")
