"""Proposals: few moves, nobody moved who may not be, and what they open is really there."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from solver.defragment import WHOLE, propose
from solver.disruption.reasons import moved_to
from solver.model.cluster import InstanceState
from solver.model.demand import Fraction, Grant, MigProfile, WholeGpus
from solver.model.plan import Evict, Placed
from solver.model.snapshot import Snapshot
from solver.planner import plan
from tests.solver.fleets import random_snapshot
from tests.solver.scenarios import a100, cluster, gpu, holds, instance, interactive, request, shares


def scattered() -> Snapshot:
    """Three A100s with a small training each, at places that keep every half but one from being free."""
    cards = [a100(f"g{i}", f"n{i}", 0, instance("2g.10gb", 2, "busy", f"t{i}")) for i in range(3)]
    held = tuple(holds(request(f"t{i}", MigProfile("2g.10gb")), card, 2) for i, card in enumerate(cards))
    return cluster(*cards, held=held)


def test_scattered_work_is_joined_for_whole_gpus() -> None:
    proposal = propose(scattered(), 8)
    assert len(proposal.moves) == 2
    assert proposal.room["7g.40gb"] == (0, 2)
    assert proposal.opened["7g.40gb"] == 2
    assert {move.new.node for move in proposal.moves} == {"n0", "n1", "n2"} - {m.old.node for m in proposal.moves}
    evicted = {step.claim for step in proposal.plan.steps if isinstance(step, Evict)}
    assert evicted == {move.request.claim for move in proposal.moves}


def test_the_budget_is_kept() -> None:
    proposal = propose(scattered(), 1)
    assert len(proposal.moves) == 1
    assert proposal.opened["7g.40gb"] == 1


def test_a_target_decides_what_is_opened() -> None:
    """A half more on each GPU takes a move within the GPU."""
    proposal = propose(scattered(), 1, MigProfile("4g.20gb"))
    assert proposal.opened["4g.20gb"] == 1
    (evicted,) = (step for step in proposal.plan.steps if isinstance(step, Evict))
    (move,) = proposal.moves
    assert evicted.why == f"{moved_to(move.old, move.new)} to join free room"


def test_a_move_is_said_to_go_where_it_goes() -> None:
    here, there, away = (gpu("v100", uuid, node) for uuid, node in (("g0", "n0"), ("g1", "n0"), ("g2", "n1")))
    old, new, other = (shares(request("t", Fraction(0.5)), card, 0.5).grant for card in (here, there, away))
    assert [moved_to(old, grant) for grant in (new, other, old)] == [
        "moved to another GPU of node n0",
        "moved to node n1",
        "moved within its GPU on node n0",
    ]


def test_who_may_not_be_moved_stays() -> None:
    snapshot = scattered()
    firm = tuple(replace(h, request=replace(h.request, preemptible=False)) for h in snapshot.held)
    safe = tuple(replace(h, protected="a budget") for h in snapshot.held)
    for held in (firm, safe):
        assert propose(replace(snapshot, held=held), 8).moves == ()


def test_software_shares_are_joined_for_whole_gpus() -> None:
    cards = [gpu("v100", f"g{i}", f"n{i}") for i in range(3)]
    held = tuple(shares(request(f"t{i}", Fraction(0.3)), card, 0.3) for i, card in enumerate(cards))
    proposal = propose(cluster(*cards, held=held), 8, WholeGpus())
    assert proposal.room[WHOLE] == (0, 2)
    assert len(proposal.moves) == 2


def test_there_may_be_nothing_to_do() -> None:
    card = a100("g0", "n0", 0, instance("7g.40gb", 0, "busy", "t"))
    held = (holds(interactive("t", MigProfile("7g.40gb")), card, 0),)
    proposal = propose(cluster(card, held=held), 8)
    assert (proposal.moves, dict(proposal.opened), dict(proposal.layouts)) == ((), {}, {})


@settings(max_examples=60, deadline=None)
@given(rng=st.randoms(use_true_random=False), gpus=st.integers(1, 6), moves=st.integers(1, 4))
def test_what_is_opened_is_really_there(rng: Random, gpus: int, moves: int) -> None:
    """Once the moves are made, the planner finds as many places of each kind as the proposal promised."""
    snapshot = _quiet(random_snapshot(rng, gpus, 0))
    proposal = propose(snapshot, moves)
    assert len(proposal.moves) <= moves
    assert all(m.request.preemptible for m in proposal.moves)
    after = _moved(snapshot, {m.request.claim: m.new for m in proposal.moves})
    for name, (_, promised) in list(proposal.room.items())[:3]:
        demand = WholeGpus() if name == WHOLE else MigProfile(name)
        wishes = tuple(request(f"w{i}", demand, "team-a", created=i) for i in range(min(promised + 1, 20)))
        made = plan(replace(after, pending=wishes))
        placed = sum(isinstance(outcome, Placed) and not outcome.waits_for for outcome in made.outcomes.values())
        assert placed == min(promised, 20), name


def _quiet(snapshot: Snapshot) -> Snapshot:
    """Nobody is leaving, and no node lacks CPU."""
    nodes = tuple(replace(node, cpu_milli=None) for node in snapshot.nodes)
    return replace(snapshot, nodes=nodes, held=tuple(replace(h, releasing=False) for h in snapshot.held))


def _moved(snapshot: Snapshot, places: dict[str, Grant]) -> Snapshot:
    """The cluster once these claims hold their new places: what they left is not there any more."""
    held = tuple(replace(h, grant=places.get(h.request.claim, h.grant), protected="now") for h in snapshot.held)
    gpus = tuple(
        replace(
            card,
            instances=tuple(i for i in card.instances if i.claim not in places and i.state is not InstanceState.IDLE),
            parts=tuple(part for part in card.parts if part.claim not in places),
        )
        for card in snapshot.gpus
    )
    return replace(snapshot, gpus=gpus, held=held)
