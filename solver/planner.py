"""The door of the core: a Snapshot goes in, a Plan comes out.

admit     quota and limits decide who is served, and in which order   (quota/)
pack      each gets a legal place; nominated room first               (packing/)
disrupt   where none is free, the cheapest legal evictions open one   (disruption/)
explain   who has none is told why, and what would free one           (explain.py)
steps     what to do, in an order that respects every dependency      (packing/steps.py)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from solver.explain import ask_text, explain
from solver.model.demand import Request
from solver.model.plan import Certificate, Code, Method, Outcome, Placed, Plan, Unplaced
from solver.model.snapshot import Policy, Snapshot
from solver.packing.draft import Draft, Found
from solver.packing.gangs import gang_key, place_gang
from solver.packing.occupancy import Cluster
from solver.packing.online import best_seats
from solver.packing.steps import StepList
from solver.packing.tables import rounding
from solver.packing.weights import weight
from solver.quota.queueing import admissible

ROUNDS = 3


def plan(snapshot: Snapshot, policy: Policy | None = None) -> Plan:
    """Decide for every pending request. Pure; the same snapshot and policy give the same plan."""
    draft = Draft(snapshot, policy or Policy())
    refused: Mapping[str, Unplaced] = {}
    missed: set[str] = set()
    for _ in range(ROUNDS):
        admission = admissible(snapshot, without=missed)
        refused = admission.refused
        new = [r for r in admission.ordered if r.claim not in draft.found]
        _pack(snapshot, draft, new)
        missed |= {r.claim for r in new if r.claim not in draft.found}
        if not missed or not refused:
            break
    return _assemble(snapshot, draft, refused)


def _pack(snapshot: Snapshot, draft: Draft, ordered: Sequence[Request]) -> None:
    for request in ordered:
        draft.redeem(request)
    tried: set[tuple[str, str]] = set()
    for request in ordered:
        key = gang_key(request)
        if request.claim in draft.found or key in tried:
            continue
        if request.gang is None or key is None:
            draft.place(request)
        else:
            tried.add(key)
            place_gang(snapshot, draft, request.gang, [r for r in ordered if gang_key(r) == key])


def _assemble(snapshot: Snapshot, draft: Draft, refused: Mapping[str, Unplaced]) -> Plan:
    steps = StepList()
    names = {holding.request.claim: holding.request.name for holding in snapshot.held}
    for found in draft.found.values():
        for victim in found.evicts:
            steps.evict(victim, found.request.claim, _why(found, names[victim]))
        steps.assign(found.request.claim, found.grant, found.window.seats, found.waits_for)
    before = Cluster(snapshot)
    outcomes = {r.claim: _outcome(snapshot, draft, before, refused, r) for r in snapshot.pending}
    certificate = _certificate(snapshot, draft, before, steps)
    return Plan(tuple(steps.steps), steps.after, MappingProxyType(outcomes), certificate)


def _outcome(
    snapshot: Snapshot, draft: Draft, before: Cluster, refused: Mapping[str, Unplaced], request: Request
) -> Outcome:
    if found := draft.found.get(request.claim):
        return Placed(found.grant, found.waits_for, rounding(request.ask, found.grant.devices[0]))
    if request.claim in refused:
        return refused[request.claim]
    reason = explain(snapshot, before, draft.cluster, request, draft.policy)
    gang = request.gang
    if gang is None or reason.code not in (Code.NO_FREE_GPU, Code.NO_LEGAL_START, Code.BEHIND_OTHERS):
        return reason
    text = f"gang {gang.name} starts only when {gang.size} members fit together; {reason.message}"
    return Unplaced(Code.GANG_DOES_NOT_FIT, text, reason.blockers)


def _why(found: Found, victim: str) -> str:
    request = found.request
    return (
        f"{victim} makes room for {request.name} ({ask_text(request.ask)}, priority {request.priority}) "
        f"on node {found.grant.node}"
    )


def _certificate(snapshot: Snapshot, draft: Draft, before: Cluster, steps: StepList) -> Certificate:
    """Ensures that no plan admits more than `bound`: what is left out and could stand alone counts as admitted."""
    value = sum(weight(snapshot, found.request, draft.policy) for found in draft.found.values())
    missed = [r for r in snapshot.pending if r.claim not in draft.found and best_seats(before, r, draft.policy)]
    bound = value + sum(weight(snapshot, request, draft.policy) for request in missed)
    method = Method.ONLINE if len(snapshot.pending) == 1 else Method.GREEDY
    return Certificate(method, value, bound, steps.operations, 0)
