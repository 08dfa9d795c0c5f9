"""The door of the core: a Snapshot goes in, a Plan comes out.

order     which job is next, and which may not be served now          (quota/)
place     each gets a legal place; nominated room first               (working_copy/, sequential/draft.py)
disrupt   where none is free, the cheapest moves or evictions open one (sequential/moving.py, disruption/)
explain   who has none is told why, and what would free one           (sequential/explain.py)
steps     what to do, in an order that respects every dependency      (working_copy/steps.py)
batch     very many requests are decided together instead             (batch/)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from solver.batch.batch_solver import BatchSolver
from solver.batch.decide import Batch
from solver.gpu_tables.tables import rounding
from solver.gpu_tables.weights import weight
from solver.model.demand import Request
from solver.model.plan import Certificate, Code, Method, Outcome, Placed, Plan, Unplaced
from solver.model.snapshot import Policy, Snapshot
from solver.quota.jobs import QueuedJob
from solver.quota.queueing import Line, refusal
from solver.sequential.draft import Draft
from solver.sequential.explain import Explainer
from solver.sequential.workspace import Workspace
from solver.working_copy.copy import WorkingCopy
from solver.working_copy.steps import StepList

MANY = 256
"""From so many pending requests on, all are decided together."""


def plan(snapshot: Snapshot, policy: Policy | None = None, solver: BatchSolver | None = None) -> Plan:
    """Decide for every pending request; very many of them together.

    solver: what solves the program of very many requests. Without one, or when it does not answer in
    time, a greedy plan stands and says so in its certificate.
    """
    policy = policy or Policy()
    if len(snapshot.pending) < MANY:
        return _in_turn(snapshot, policy)
    return Batch(snapshot, policy, solver, _in_turn).decide()


def _in_turn(snapshot: Snapshot, policy: Policy) -> Plan:
    """One job after another, in the order of the queues."""
    workspace = Workspace(snapshot, policy, WorkingCopy(snapshot))
    draft = Draft(snapshot, workspace)
    line = Line(snapshot, workspace.ledger)
    for job in line.nominated():
        if draft.redeem(job):
            line.leave(job)
    for job in line:
        if not draft.serve(job):
            draft.note_unplaced(job)
    draft.reserve_for_waiting()
    return _assemble(snapshot, workspace, draft, line.refused)


def _assemble(snapshot: Snapshot, workspace: Workspace, draft: Draft, refused: Mapping[str, Unplaced]) -> Plan:
    steps = StepList()
    for found in workspace.planned.values():
        for victim, why in found.evicts.items():
            steps.evict(victim, found.request.claim, why)
        waits_for = tuple(sorted(found.waits_for))
        steps.clear(found.opening.candidates, waits_for)
        for move in found.moves:
            steps.assign(move.request.claim, move.grant, move.candidates, tuple(found.evicts))
        steps.assign(found.request.claim, found.grant, found.opening.candidates, waits_for)
    explainer = Explainer(snapshot, workspace)
    outcomes = {r.claim: _outcome(workspace, draft, explainer, refused, r) for r in snapshot.pending}
    certificate = _certificate(snapshot, workspace, explainer, steps)
    return Plan(tuple(steps.steps), steps.after, MappingProxyType(outcomes), certificate)


def _outcome(
    workspace: Workspace, draft: Draft, explainer: Explainer, refused: Mapping[str, Unplaced], request: Request
) -> Outcome:
    if found := workspace.planned.get(request.claim):
        return Placed(found.grant, tuple(sorted(found.waits_for)), rounding(request.demand, found.grant.devices[0]))
    if request.claim in refused:
        return refused[request.claim]
    if gpus := workspace.beyond_quota.get(request.claim):
        barred = refusal(QueuedJob((request,)), workspace.ledger, gpus)
        if barred:
            return barred
    if opening := draft.reserved.get(request.claim):
        return explainer.reserved(request, opening)
    reason = explainer.explain(request)
    if reason.code not in (Code.NO_FREE_GPU, Code.NO_LEGAL_START, Code.BEHIND_OTHERS):
        return reason
    text = f"{reason.message}; {draft.figures(request)}"
    if request.gang is None:
        return Unplaced(reason.code, text, reason.blockers)
    text = f"gang {request.gang.name} starts only when {request.gang.size} members fit together; {text}"
    return Unplaced(Code.GANG_DOES_NOT_FIT, text, reason.blockers)


def _certificate(snapshot: Snapshot, workspace: Workspace, explainer: Explainer, steps: StepList) -> Certificate:
    """Ensures that no plan admits more than `bound`: what is left out and could stand alone counts as admitted."""
    value = sum(weight(snapshot, found.request, workspace.policy) for found in workspace.planned.values())
    missed = [r for r in snapshot.pending if r.claim not in workspace.planned and explainer.was_free(r)]
    bound = value + sum(weight(snapshot, request, workspace.policy) for request in missed)
    method = Method.ONLINE if len(snapshot.pending) == 1 else Method.GREEDY
    return Certificate(method, value, bound, steps.operations, 0)
