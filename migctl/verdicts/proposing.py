"""Moves that somebody may want, decided on the state of now and told as data; whoever keeps them stores a proposal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from migctl.backends.protocol import Invalid
from migctl.controller.names import Names
from migctl.controller.proposals import IN_PLACE, Obstacle, proposal, put_back, too_many_moves
from migctl.objects import API_VERSION, Claim, PlacementPlan
from solver import defragment
from solver.defragment import Proposal
from solver.model.demand import Demand
from solver.model.plan import Plan
from solver.model.snapshot import Policy, Snapshot

DEFRAGMENTS = "moves that join free room"


def undoes(plan: PlacementPlan) -> str:
    """The note of a plan that puts back what another one moved."""
    return f"undoes {plan.meta.name}"


def defragmented(
    state: Snapshot, claims: Iterable[Claim], moves: int, target: Demand | None, policy: Policy
) -> tuple[PlacementPlan | None, dict[str, Any]]:
    """A plan of at most so many moves that join free room, None for no moves, and what it is good for.

    Raises Invalid where they are too many for one plan.
    """
    found = defragment.propose(state, moves, target, policy)
    kept = _kept(state, claims, found.plan, DEFRAGMENTS) if found.moves else None
    return kept, document(state, found, kept.meta.name if kept else "")


def undone(
    plan: PlacementPlan, state: Snapshot, claims: Iterable[Claim]
) -> tuple[PlacementPlan | None, tuple[Obstacle, ...]]:
    """A plan that puts back what another one moved, as far as that is legal now, and why others do not go back.

    Raises Invalid where they are too many for one plan.
    """
    claims = tuple(claims)
    relocations, stays = put_back(plan, state, claims)
    kept = _kept(state, claims, relocations.plan, undoes(plan)) if relocations.plan.steps else None
    return kept, tuple((name, why) for name, why in stays if why != IN_PLACE)


def document(state: Snapshot, found: Proposal, kept: str = "") -> dict[str, Any]:
    """Moves and what they are good for, for machines. kept: the name of the plan that they are kept as."""
    names = Names(state)
    return {
        "apiVersion": API_VERSION,
        "kind": "Defragmentation",
        **({"plan": kept} if kept else {}),
        "moves": [
            {"workload": names.claim(m.request.claim), "now": names.grant(m.old), "then": names.grant(m.new)}
            for m in found.moves
        ],
        "fits": [{"share": name, "now": now, "then": then} for name, (now, then) in found.room.items()],
        "layouts": [
            {"gpu": names.gpu(uuid), "now": list(old), "then": list(new)} for uuid, (old, new) in found.layouts.items()
        ],
    }


def _kept(state: Snapshot, claims: Iterable[Claim], plan: Plan, note: str) -> PlacementPlan:
    made = proposal(state, claims, plan, note)
    if refused := too_many_moves(made, plan):
        raise Invalid(refused, hint=f"at most {len(made.spec.moves)} here", field="moves")
    return made
