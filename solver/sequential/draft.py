"""Jobs served one after another: a free place, else moves, else evictions; reservations for those that wait long."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from solver.disruption.openings import NOBODY, Opening, of_grant
from solver.disruption.reasons import Reasons
from solver.disruption.victims import LEAVING, EvictionRights
from solver.model.demand import OneDemand, Request, parts_of
from solver.model.snapshot import Snapshot
from solver.quota.jobs import QueuedJob
from solver.sequential.blocking import RESERVED
from solver.sequential.moving import Moving
from solver.sequential.workspace import PlannedGrant, Workspace
from solver.working_copy.copy import Mark
from solver.working_copy.gangs import Domain, domains
from solver.working_copy.scoring import gpu_options
from solver.working_copy.shapes import shape


@dataclass(frozen=True, slots=True)
class _Means:
    """What may be done to make room. rights None: nobody is pushed aside."""

    move: bool = False
    rights: EvictionRights | None = None


class Draft:
    """Serves jobs one after another; what is given out is not there for those that follow.

    reserved  openings reserved for claims that have waited long, by claim
    """

    def __init__(self, snapshot: Snapshot, workspace: Workspace) -> None:
        self._work = workspace
        self.reserved: dict[str, Opening] = {}
        self._reserved_in: set[str] = set()
        self._long_waiting: list[QueuedJob] = []
        self._now = snapshot.now
        self._reasons = Reasons(workspace.ledger)
        self._moving = Moving(workspace)
        self._hopeless: dict[Hashable, None] = {}
        unlike = {id(node.ways): node for node in workspace.cluster.nodes.values()}.values()
        usable = (gpu for node in unlike for gpu in node.gpus if not gpu.reported.fenced)
        self._kinds = tuple({(b.reported.model, b.reported.mig, b.node.reported.pool): b for b in usable}.values())

    def redeem(self, job: QueuedJob) -> bool:
        """Give a job the room that was nominated for it, unless any of it is lost."""
        mark = self._mark()
        for request in job.requests:
            opening = of_grant(self._work.cluster, request, request.nominated) if request.nominated else None
            if opening is None:
                self._undo(mark)
                return False
            self._take(request, opening)
        self._join(job)
        return True

    def serve(self, job: QueuedJob) -> bool:
        """Place all requests of a job: where it is free, else by moving work, else by pushing it aside."""
        nodes = self._work.nodes(job)
        if job.gang and len(nodes) + len(job.requests) < job.gang.size:
            return False
        wants = self._work.wants(job)
        if not self._work.victims.entitled(job, wants):
            self.reserve_for_waiting()
        rights = self._work.victims.of(job, wants)
        room = self._least(job) <= self._work.ledger.free(job.first)
        ways = [_Means(), *([_Means(True)] if room else []), _Means(room, rights)]
        parts = domains(self._work.everywhere, job.gang, nodes)
        if not any(self._place_all(job, domain, means) for means in ways for domain in parts):
            last = self._work.victims.beyond_quotas(job, wants)
            if last is None or not any(self._place_all(job, domain, _Means(room, last)) for domain in parts):
                return False
        if job.extra:
            self._work.victims.hold(job.first)
        return True

    def _least(self, job: QueuedJob) -> float:
        """GPUs that the job counts for at the smallest: an instance may count for less than the fraction requested."""
        demands = (demand for request in job.requests for demand in parts_of(request.demand))
        return sum(demand.devices * self._least_part(demand) for demand in demands)

    def _least_part(self, demand: OneDemand) -> float:
        options = (option for gpu in self._kinds for _, option in gpu_options(gpu, demand, self._work.policy))
        return min((option.portion for option in options), default=0.0)

    def note_unplaced(self, job: QueuedJob) -> None:
        """Note a job that got nothing: if it has waited long, `reserve_for_waiting` reserves room for it."""
        since = min(r.created if r.waiting_since is None else r.waiting_since for r in job.requests)
        if self._now - since >= self._work.policy.reserve_after_s:
            self._long_waiting.append(job)

    def reserve_for_waiting(self) -> None:
        """From now on nobody takes the room that is reserved.

        It holds against work beyond its project's fair share only: that is what takes the room of others
        who wait. One job of each pool at a time, and only room that work that ends by itself will leave.
        """
        while self._long_waiting:
            job = self._long_waiting.pop(0)
            account = self._work.ledger.account_for(job.first)
            if account is None or account.pool in self._reserved_in:
                continue
            tried = (
                self._reserve_all(job, part) for part in domains(self._work.everywhere, job.gang, self._work.nodes(job))
            )
            if openings := next((openings for openings in tried if openings), None):
                self.reserved |= openings
                self._reserved_in.add(account.pool)

    def _reserve_all(self, job: QueuedJob, domain: Domain) -> dict[str, Opening]:
        mark, openings = self._work.copy.mark(), {}
        for request in job.requests:
            opening = self._work.search.cheapest(request, self._work.victims.ending(), domain)
            if opening is None:
                self._work.copy.undo(mark)
                return {}
            self._work.cluster.reserve(replace(request, claim=request.claim + RESERVED), opening.candidates)
            openings[request.claim] = opening
        return openings

    def figures(self, request: Request) -> str:
        """What its project uses and may use where the request counts, for people."""
        account = self._work.ledger.account_for(request)
        return self._reasons.figures(request.project, account.pool if account else "")

    def _place_all(self, job: QueuedJob, domain: Domain, means: _Means) -> bool:
        mark = self._mark()
        for request in job.requests:
            if not self._place(request, domain, means):
                self._undo(mark)
                return False
        self._join(job)
        return True

    def _join(self, job: QueuedJob) -> None:
        """Members of a gang wait for all that any of them waits for."""
        everyone = NOBODY.union(
            *(
                self._work.planned[r.claim].opening.removed | set(self._work.planned[r.claim].evicts)
                for r in job.requests
            )
        )
        for request in job.requests:
            self._work.planned[request.claim] = replace(self._work.planned[request.claim], waits_for=everyone)

    def _place(self, request: Request, domain: Domain, means: _Means) -> bool:
        part = self._work.affordable(request, domain)
        if candidates := self._work.free(request, part):
            self._take(request, Opening(tuple(candidates)))
            return True
        if means.move and self._by_moving(request, part):
            return True
        opening = means.rights and self._opening(request, means.rights, domain)
        if (
            not opening
            or len(self._work.victims.new(opening.removed)) > self._work.budget
            or not self._work.may_have(request, opening.candidates, opening)
        ):
            return False
        self._take(request, opening)
        return True

    def _opening(self, request: Request, rights: EvictionRights, domain: Domain) -> Opening | None:
        if rights.key == LEAVING and not self._work.cluster.leaving and not self._work.is_free(request, domain):
            return None  # nobody goes, and nothing is free
        return self._work.cheapest(request, rights, domain)

    def _by_moving(self, request: Request, domain: Domain) -> bool:
        """Open an opening whose holders all get a new place at once."""
        key = ("move", shape(request), request.project, request.preemptible, domain.name)
        if key in self._hopeless:
            return False
        if opened := self._moving.open(request, domain, self._work.budget):
            opening, grant, moves = opened
            held = self._work.cluster.held
            new = {move.request.claim: move.grant for move in moves}
            reasons = {claim: self._reasons.moved(held[claim].grant, new[claim], request) for claim in new}
            self._work.planned[request.claim] = PlannedGrant(request, opening, grant, reasons, tuple(moves))
            return True
        self._hopeless[key] = None
        return False

    def _take(self, request: Request, opening: Opening) -> None:
        victims = self._work.victims.new(opening.removed)
        reasons = {v.request.claim: self._reasons.evicted(v, request) for v in victims}
        grant = self._work.copy.give(request, opening.candidates, victims)
        self._work.planned[request.claim] = PlannedGrant(request, opening, grant, reasons)

    def _mark(self) -> tuple[Mark, int, int]:
        """A moment to go back to. What was hopeless then stays so: a plan in the making only grows."""
        return self._work.copy.mark(), len(self._hopeless), len(self._work.planned)

    def _undo(self, mark: tuple[Mark, int, int]) -> None:
        copy, hopeless, found = mark
        if len(self._work.planned) == found:
            return
        self._work.copy.undo(copy)
        while len(self._hopeless) > hopeless:
            self._hopeless.popitem()
        while len(self._work.planned) > found:
            self._work.planned.popitem()
