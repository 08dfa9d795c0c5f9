"""Plans that are not carried out yet, or not any more: kept as proposals, compared with now, and put back.

What a plan changes of places is stored with it. Whoever applies or undoes one checks it again on the newest state.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from migctl.controller import publish
from migctl.controller.names import Names
from migctl.objects import APPLY_LABEL, REQUESTED, Claim, Meta, PlacementPlan, PlanMove, PlanPlace, StepState
from solver.model.demand import Grant
from solver.model.plan import Assign, Evict, Plan
from solver.model.snapshot import Snapshot
from solver.relocate import Relocations, relocate, same_place

MOST_SHARES = 1000
"""Parts of GPUs that the moves of one stored plan name."""
IN_PLACE = "it is where it was"
Obstacle = tuple[str, str]
"""A workload, and why it is not moved."""


def proposal(
    state: Snapshot, claims: Iterable[Claim], plan: Plan, note: str, milliseconds: float = 0.0
) -> PlacementPlan:
    """A plan to be kept until somebody applies it."""
    names = Names(state)
    waiting = dict.fromkeys(range(len(plan.steps)), (StepState.PROPOSED, ""))
    spec = publish.spec_of(names, plan, waiting, milliseconds)
    moves = moves_of(state, claims, names, plan)
    made = replace(spec, proposed=True, note=note, moves=moves)
    return PlacementPlan(meta=Meta(name=f"plan-{secrets.token_hex(4)}"), spec=made)


def too_many_moves(made: PlacementPlan, plan: Plan) -> str:
    """Why a proposal made of a plan must not be kept: a stored plan names only so many moves. "" where it names all."""
    wanted = sum(isinstance(step, Evict) for step in plan.steps)
    return f"{wanted} moves are too many for one plan" if len(made.spec.moves) < wanted else ""


def moves_of(
    state: Snapshot, claims: Iterable[Claim], names: Names, plan: Plan, done: Callable[[int], bool] = lambda _: True
) -> tuple[PlanMove, ...]:
    """Where the plan's claims were and are put. done: whether the step at a position was, or is to be, carried out."""
    held = {holding.request.claim: holding.grant for holding in state.held}
    after: dict[str, Grant | None] = {}
    for position, step in enumerate(plan.steps):
        if isinstance(step, Evict) and done(position):
            after[step.claim] = None
    for position, step in enumerate(plan.steps):
        if isinstance(step, Assign) and (step.claim in after or done(position)):
            after[step.claim] = step.grant
    of_uid = {claim.meta.uid: claim for claim in claims if claim.meta.uid in after}
    found = (
        PlanMove(
            claim=uid,
            workload_uid=of_uid[uid].spec.workload_uid,
            index=of_uid[uid].spec.index,
            name=names.claim(uid),
            before=_place(held.get(uid)),
            after=_place(grant),
        )
        for uid, grant in after.items()
        if uid in of_uid
    )
    return tuple(_bounded(found))


def _place(grant: Grant | None) -> PlanPlace | None:
    return None if grant is None else PlanPlace.of(grant)


def _bounded(moves: Iterable[PlanMove]) -> Iterator[PlanMove]:
    shares = 0
    for move in moves:
        shares += sum(len(place.devices) for place in (move.before, move.after) if place)
        if shares > MOST_SHARES:
            return
        yield move


class Pods:
    """The pods of workloads as they are now, by what a plan remembers of them."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        living = [claim for claim in claims if not claim.status.phase.finished]
        self._by_uid = {claim.meta.uid: claim for claim in living}
        self._of: dict[tuple[str, int], list[Claim]] = {}
        for claim in living:
            if claim.meta.deleting is None:
                self._of.setdefault((claim.spec.workload_uid, claim.spec.index), []).append(claim)

    def itself(self, move: PlanMove) -> Claim | None:
        """The very claim that the plan saw."""
        return self._by_uid.get(move.claim)

    def now(self, move: PlanMove) -> Claim | None:
        """The pod that the plan saw, or the one that followed it: of several the one at the plan's place."""
        known = self._by_uid.get(move.claim)
        if known is not None and known.meta.deleting is None:
            return known
        followers = self._of.get((move.workload_uid, move.index), [])
        there = [claim for claim in followers if stands_at(claim, move.after)]
        return next(iter([*there, *followers]), None)


def stands_at(claim: Claim | None, place: PlanPlace | None) -> bool:
    """Whether a claim holds this very place."""
    holds = claim.status.allocation if claim else None
    return holds is not None and place is not None and same_place(holds, place.grant())


def put_back(plan: PlacementPlan, state: Snapshot, claims: Iterable[Claim]) -> tuple[Relocations, tuple[Obstacle, ...]]:
    """The moves that undo a plan as far as they are legal now, and why the others stay where they are."""
    pods, back, names = Pods(claims), dict[str, Grant](), dict[str, str]()
    stays = list[Obstacle]()
    for move in plan.spec.moves:
        claim = pods.now(move)
        if move.before is None:
            stays.append((move.name, "the plan gave it its first place: suspend or delete it to free that"))
        elif claim is None:
            stays.append((move.name, "it does not run any more"))
        elif stands_at(claim, move.before):
            stays.append((move.name, IN_PLACE))
        elif claim.status.allocation is None:
            stays.append((move.name, "it waits, and is given a place in its turn"))
        else:
            back[claim.meta.uid], names[claim.meta.uid] = move.before.grant(), move.name
    relocations = relocate(state, back, f"plan {plan.meta.name} is undone")
    return relocations, (*stays, *((names[claim], why) for claim, why in relocations.refused.items()))


def requested(plan: PlacementPlan) -> bool:
    """Whether it is a proposal that somebody wants applied, and that nobody has tried to apply yet."""
    wanted = plan.meta.labels.get(APPLY_LABEL) == REQUESTED
    return wanted and plan.spec.proposed and not plan.status.phase and plan.meta.deleting is None


@dataclass(frozen=True, slots=True)
class Check:
    """What a proposal comes to now: the moves that are legal, and what keeps the others."""

    relocations: Relocations
    obstacles: tuple[Obstacle, ...]


def check(plan: PlacementPlan, state: Snapshot, claims: Iterable[Claim]) -> Check:
    """Look at a proposal on the newest state. What has moved already as the plan wants it is no obstacle."""
    pods, moves = Pods(claims), dict[str, Grant]()
    obstacles, names = list[Obstacle](), dict[str, str]()
    for move in plan.spec.moves:
        claim = pods.itself(move)
        if _done(claim, pods.now(move), move):
            continue
        if claim is None or move.before is None or move.after is None:
            obstacles.append((move.name, "it does not run any more as it did when the plan was made"))
        elif not stands_at(claim, move.before):
            obstacles.append((move.name, "it is not where it was when the plan was made"))
        else:
            moves[move.claim], names[move.claim] = move.after.grant(), move.name
    relocations = relocate(state, moves, f"plan {plan.meta.name} was applied")
    refused = ((names[claim], why) for claim, why in relocations.refused.items())
    return Check(relocations, (*obstacles, *refused))


def _done(claim: Claim | None, now: Claim | None, move: PlanMove) -> bool:
    """Whether the move is made, or under way."""
    if stands_at(now, move.after):
        return True
    nomination = claim.status.nomination if claim is not None and claim.meta.deleting is not None else None
    return nomination is not None and move.after is not None and same_place(nomination, move.after.grant())
