"""The door of the core: a Snapshot goes in, a Plan comes out.

order     which job is next, and which may not be served now          (quota/)
place     each gets a legal place; nominated room first               (working_copy/, sequential/draft.py)
disrupt   where none is free, the cheapest moves or evictions open one (sequential/moving.py, disruption/)
explain   who has none is told why, and what would free one           (sequential/explain.py)
steps     what to do, in an order that respects every dependency      (working_copy/steps.py)
batch     very many requests are decided together instead             (batch/)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from solver.batch.batch_solver import BatchSolver
from solver.batch.decide import Batch
from solver.gpu_tables.tables import rounding
from solver.gpu_tables.weights import Weights
from solver.model.demand import Request
from solver.model.plan import Certificate, Method, Outcome, Placed, Plan
from solver.model.reasons import ProjectUnknown, QueueFull, StartsFailed, Unplaced
from solver.model.snapshot import Policy, Snapshot
from solver.quota.jobs import QueuedJob
from solver.quota.queueing import Line, refusal
from solver.sequential.draft import Draft
from solver.sequential.explain import Explainer
from solver.sequential.workspace import Workspace
from solver.working_copy.copy import WorkingCopy
from solver.working_copy.kept import KeptCluster
from solver.working_copy.steps import StepList

MANY = 256
"""From so many pending requests on, all are decided together."""


def plan(
    snapshot: Snapshot,
    policy: Policy | None = None,
    solver: BatchSolver | None = None,
    kept: KeptCluster | None = None,
) -> Plan:
    """Decide for every pending request; very many of them together.

    solver: what solves the program of very many requests. Without one, or when it does not answer in
    time, a greedy plan stands and says so in its certificate.
    kept: where decisions follow each other, what the one before has made of the cluster
    """
    policy = policy or Policy()
    if len(snapshot.pending) < MANY:
        if kept is None:
            return _in_turn(snapshot, policy)
        with kept.of(snapshot, policy) as (cluster, places):
            return _served(snapshot, Workspace(snapshot, policy, WorkingCopy(snapshot, cluster), places))
    return Batch(snapshot, policy, solver, _in_turn, _reasons).decide()


def _in_turn(snapshot: Snapshot, policy: Policy) -> Plan:
    """One job after another, in the order of the queues."""
    return _served(snapshot, Workspace(snapshot, policy, WorkingCopy(snapshot)))


def _served(snapshot: Snapshot, workspace: Workspace) -> Plan:
    draft = Draft(snapshot, workspace)
    line = Line(snapshot, workspace.ledger, workspace.victims.yields)
    for job in line.nominated():
        if draft.redeem(job):
            line.leave(job)
    left: dict[str, QueuedJob] = {}
    for job in line:
        if not draft.serve(job) and not line.bars(job):
            draft.note_unplaced(job)
            left |= dict.fromkeys((request.claim for request in job.requests), job)
    draft.reserve_for_waiting()
    return _assemble(snapshot, workspace, draft, line.refused, left)


def _assemble(
    snapshot: Snapshot,
    workspace: Workspace,
    draft: Draft,
    refused: Mapping[str, Unplaced],
    left: Mapping[str, QueuedJob],
) -> Plan:
    steps = StepList()
    for planned in workspace.planned.values():
        for victim, why in planned.evicts.items():
            steps.evict(victim, planned.request.claim, why)
        waits_for = tuple(sorted(planned.waits_for))
        steps.clear(planned.opening.candidates, waits_for)
        for move in planned.moves:
            steps.assign(move.request.claim, move.grant, move.candidates, tuple(planned.evicts))
        steps.assign(planned.request.claim, planned.grant, planned.opening.candidates, waits_for)
    explainer = Explainer(snapshot, workspace)
    outcomes: dict[str, Outcome] = dict(refused)
    for request in snapshot.pending:
        if found := workspace.planned.get(request.claim):
            rounded = rounding(request.demand, found.grant.devices)
            outcomes[request.claim] = Placed(found.grant, tuple(sorted(found.waits_for)), rounded)
        elif request.claim not in outcomes:
            job = left.get(request.claim) or QueuedJob((request,))
            reason = _reason(workspace, draft, explainer, request, job)
            outcomes |= {r.claim: reason for r in job.requests} if _together(job) else {request.claim: reason}
    certificate = _certificate(snapshot, workspace, explainer, steps, outcomes)
    return Plan(tuple(steps.steps), steps.after, MappingProxyType(outcomes), certificate)


def _reason(workspace: Workspace, draft: Draft, explainer: Explainer, request: Request, job: QueuedJob) -> Unplaced:
    """Why a request has no place."""
    if gpus := workspace.beyond_quota.get(request.claim):
        barred = refusal(QueuedJob((request,)), workspace.ledger, gpus)
        if barred:
            return barred
    if opening := draft.reserved.get(request.claim):
        return explainer.reserved(request, opening)
    return explainer.explain_gang(job.requests, workspace.nodes(job)) if _together(job) else explainer.explain(request)


def _together(job: QueuedJob) -> bool:
    """Whether the job's requests start together or not at all, and so have one reason."""
    return job.gang is not None and not job.extra


def _barred(outcome: Outcome) -> bool:
    """Whether a request is admitted, or not for any lack of room."""
    return isinstance(outcome, Placed) or isinstance(outcome.facts, QueueFull | StartsFailed | ProjectUnknown)


def _reasons(snapshot: Snapshot, policy: Policy, requests: Sequence[Request]) -> list[Unplaced]:
    """Why each of these single requests has no place where nothing more is placed."""
    workspace = Workspace(snapshot, policy, WorkingCopy(snapshot))
    refused, explainer = Line(snapshot, workspace.ledger).refused, Explainer(snapshot, workspace)

    def reason(request: Request) -> Unplaced:
        job = QueuedJob((request,))
        barred = refused.get(request.claim) or refusal(job, workspace.ledger, workspace.wants(job))
        return barred or explainer.explain(request)

    return [reason(request) for request in requests]


def _certificate(
    snapshot: Snapshot,
    workspace: Workspace,
    explainer: Explainer,
    steps: StepList,
    outcomes: Mapping[str, Outcome],
) -> Certificate:
    """Ensures that no plan admits more than `bound`.

    What is left out and could stand alone counts as admitted, unless quota or limit bars it, and no more than the
    GPUs have room for beside the work that stays.
    """
    weights = Weights(snapshot, workspace.policy)
    value = sum(weights.of(found.request) for found in workspace.planned.values())
    missed = [r for r in snapshot.pending if not _barred(outcomes[r.claim]) and explainer.was_free(r)]
    missing = sum(weights.of(request) for request in missed)
    bound = max(value, min(value + missing, workspace.cluster.capacity(workspace.planned))) if missing else value
    method = Method.ONLINE if len(snapshot.pending) == 1 else Method.GREEDY
    return Certificate(method, value, bound, steps.operations, 0)
