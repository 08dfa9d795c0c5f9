"""Order and gates: whose job is next, and which may not start now whatever room there is.

The order of queues: below the fair share first; then within quota with their next job; then
priority; then the lowest share of the pool; then the oldest. Departments come before their projects
in the comparison. The order is live: every job that was given room moves its queue back.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from functools import partial

from solver.model.demand import Request
from solver.model.reasons import Code, GangIncomplete, ProjectUnknown, QueueFull, StartsFailed, Unplaced
from solver.model.snapshot import Snapshot
from solver.quota.accounting import asked
from solver.quota.jobs import QueuedJob, jobs
from solver.quota.ledger import EPSILON, Account, Ledger

Rank = tuple[object, ...]
Yields = Callable[[Request, Account], float]
"""GPUs of an account that others may have to give back to a request."""


def nobody_yields(_request: Request, _account: Account) -> float:
    """Nobody has to give way."""
    return 0.0


class Line:
    """Jobs in the order of their turns. `refused`: why the others get none, by claim."""

    def __init__(self, snapshot: Snapshot, ledger: Ledger, yields: Yields = nobody_yields) -> None:
        self.refused: dict[str, Unplaced] = {}
        self._snapshot = snapshot
        self._ledger = ledger
        self._yields = yields
        self._queues: dict[str, deque[QueuedJob]] = {}
        self._wants: dict[str, float] = {}
        self._served: set[str] = set()
        self._enqueue(jobs(snapshot.pending, snapshot))

    def __iter__(self) -> Iterator[QueuedJob]:
        """Each job once, those refused left out. What a job is given must be charged before the next is drawn."""
        heap = [(self._rank(project), project) for project in self._queues]
        heapq.heapify(heap)
        while heap:
            rank, project = heap[0]
            now = self._rank(project)
            if now != rank:
                heapq.heapreplace(heap, (now, project))
                continue
            job = self._queues[project].popleft()
            if job.first.claim in self._served:
                pass
            elif not self._refuse(job, refusal(job, self._ledger, self._gpus(job), self._yields)):
                yield job
            if self._queues[project]:
                heapq.heapreplace(heap, (self._rank(project), project))
            else:
                heapq.heappop(heap)

    def nominated(self) -> list[QueuedJob]:
        """Jobs for which room is being freed, and that may still have it."""
        waiting = [job for queue in self._queues.values() for job in queue if job.first.nominated]
        return [job for job in waiting if not refusal(job, self._ledger, self._gpus(job))]

    def bars(self, job: QueuedJob) -> bool:
        """Whether a quota or limit keeps out a job for which nobody could make room; it is refused then."""
        return self._refuse(job, refusal(job, self._ledger, self._gpus(job)))

    def leave(self, job: QueuedJob) -> None:
        """The job has been served out of turn."""
        self._served.add(job.first.claim)

    def _gpus(self, job: QueuedJob) -> float:
        if job.first.claim not in self._wants:
            self._wants[job.first.claim] = sum(asked(request.demand, self._snapshot.models) for request in job.requests)
        return self._wants[job.first.claim]

    def _enqueue(self, waiting: list[QueuedJob]) -> None:
        queues: defaultdict[str, list[QueuedJob]] = defaultdict(list)
        for job in waiting:
            if not self._refuse(job, _unready(job, self._snapshot, self._ledger)):
                queues[job.first.project].append(job)
        self._queues = {name: deque(sorted(queue, key=lambda job: job.order)) for name, queue in queues.items()}

    def _refuse(self, job: QueuedJob, reason: Unplaced | None) -> bool:
        if reason:
            self.refused |= {request.claim: reason for request in job.requests}
        return reason is not None

    def _rank(self, project: str) -> Rank:
        """Comparable: the smaller, the sooner."""
        job = self._queues[project][0]
        account = self._ledger.account_for(job.first)
        if account is None:
            return (True,)
        wants = self._gpus(job)
        total = self._ledger.pools[account.pool].gpus
        return tuple(part for level in reversed([*account.chain]) for part in _standing(level, wants, total))


def _standing(account: Account, wants: float, total: float) -> Rank:
    quota = account.quota.quota
    return (
        account.allocated >= account.fair_share - EPSILON,
        0 <= quota < account.allocated + wants - EPSILON,
        -account.quota.priority,
        account.allocated / total if total else 0.0,
        account.created,
        account.name,
    )


def _unready(job: QueuedJob, snapshot: Snapshot, ledger: Ledger) -> Unplaced | None:
    request = job.first
    if request.project not in ledger.projects:
        return Unplaced(Code.UNKNOWN_PROJECT, ProjectUnknown(request.project, tuple(sorted(ledger.projects))))
    late = [r.backing_off_until for r in job.requests if r.backing_off_until and r.backing_off_until > snapshot.now]
    if late:
        return Unplaced(Code.BACKING_OFF, StartsFailed(max(late)))
    if job.missing and job.gang:
        facts = GangIncomplete(job.gang.name, job.gang.size, job.gang.size - job.missing)
        return Unplaced(Code.GANG_DOES_NOT_FIT, facts)
    return None


def refusal(job: QueuedJob, ledger: Ledger, wants: float, yields: Yields = nobody_yields) -> Unplaced | None:
    """Why a job may not have `wants` GPUs in any pool it may use; None where it may when those that yield have gone."""
    request = job.first
    names = ledger.candidates(request)
    if not names or any(wants <= ledger.headroom(request, name, partial(yields, request)) for name in names):
        return None
    account = ledger.account_for(request)
    assert account is not None
    barred = next(a for a in account.chain if wants > a.headroom(request.preemptible, yields(request, a)) + EPSILON)
    gang = job.gang.name if job.gang and len(job.requests) > 1 else None
    limit = wants > barred.headroom(True, yields(request, barred)) + EPSILON
    code = Code.OVER_LIMIT if limit else Code.NON_PREEMPTIBLE_OVER_QUOTA
    return Unplaced(code, QueueFull(barred.figures(len(ledger.pools) > 1), wants, limit, gang))
