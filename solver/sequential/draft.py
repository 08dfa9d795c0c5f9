"""A plan in the making: the places found so far, and the working copies they were taken from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from solver.disruption.reasons import Reasons
from solver.disruption.search import Search
from solver.disruption.victims import Licence, Victims
from solver.disruption.windows import NOBODY, Window, of_grant
from solver.model.demand import Demand, Grant, Holding, Request
from solver.model.snapshot import Policy, Snapshot
from solver.quota.accounting import asked
from solver.quota.jobs import Job, gang_key
from solver.quota.ledger import Ledger
from solver.sequential.moving import Move, Moving
from solver.working_copy.free_places import Places
from solver.working_copy.gangs import Domain, domains
from solver.working_copy.occupancy import Cluster, Seat
from solver.working_copy.scoring import board_options
from solver.working_copy.shapes import shape


@dataclass(frozen=True, slots=True)
class Found:
    """A request's place: its window, those it makes go now (and why), those of them that are moved.

    waits_for: all whose going it waits for; a gang's members wait for one another's.
    """

    request: Request
    window: Window
    grant: Grant
    evicts: Mapping[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    waits_for: frozenset[str] = NOBODY


@dataclass(frozen=True, slots=True)
class _Means:
    """What may be done to make room. licence None: nobody is pushed aside."""

    move: bool = False
    licence: Licence | None = None


class Draft:
    """Serves jobs one after another; what is given out is gone for those that follow.

    found         places, by claim
    kept          room that is kept for claims that have none yet
    beyond_quota  GPUs that a free place would have counted for, where quota or limit forbade it
    """

    def __init__(self, snapshot: Snapshot, policy: Policy, ledger: Ledger) -> None:
        self.cluster = Cluster(snapshot)
        self.policy = policy
        self.ledger = ledger
        self.victims = Victims(snapshot, ledger, lambda: self.cluster.leaving)
        self.search = Search(self.cluster, ledger, policy)
        self.everywhere = Domain((), tuple(self.cluster.hosts.values()))
        self.found: dict[str, Found] = {}
        self.beyond_quota: dict[str, float] = {}
        self.kept: dict[str, Window] = {}
        self._kept_in: set[str] = set()
        self._patient: list[Job] = []
        self._snapshot = snapshot
        self._reasons = Reasons(ledger)
        self._parts: dict[Hashable, Domain] = {}
        self._places = Places(self.cluster, policy)
        self._moving = Moving(self)
        self._hopeless: dict[Hashable, None] = {}
        usable = (board for board in self.cluster.boards.values() if not board.gpu.fenced)
        self._kinds = tuple({(b.gpu.model, b.gpu.mig): b for b in usable}.values())
        self._leaving_before = len(self.cluster.leaving)

    def redeem(self, job: Job) -> bool:
        """Give a job the room that was nominated for it, unless any of it is lost."""
        mark = self._mark()
        for request in job.requests:
            window = of_grant(self.cluster, request, request.nominated) if request.nominated else None
            if window is None:
                self._undo(mark)
                return False
            self._take(request, window)
        self._join(job)
        return True

    def serve(self, job: Job) -> bool:
        """Place all requests of a job: where it is free, else by moving work, else by pushing it aside."""
        nodes = self.nodes(job)
        if job.gang and len(nodes) + len(job.requests) < job.gang.size:
            return False
        wants = sum(asked(request.demand, self._snapshot.models) for request in job.requests)
        if not self.victims.entitled(job, wants):
            self.set_aside()
        licence = self.victims.of(job, wants)
        room = self._least(job) <= self.ledger.free(job.first)
        ways = [_Means(), *([_Means(True)] if room else []), _Means(room, licence)]
        places = domains(self.everywhere, job.gang, nodes)
        if not any(self._place_all(job, domain, means) for means in ways for domain in places):
            return False
        if job.extra:
            self.victims.hold(job.first)
        return True

    def _least(self, job: Job) -> float:
        """GPUs that the job counts for at the smallest: an instance may count for less than the fraction asked for."""
        return sum(request.demand.devices * self._parts_of(request.demand) for request in job.requests)

    def _parts_of(self, demand: Demand) -> float:
        options = (option for gpu in self._kinds for _, option in board_options(gpu, demand, self.policy))
        return min((option.portion for option in options), default=0.0)

    def keep(self, job: Job) -> None:
        """Keep the room nearest to being free for a job that has waited long (see `set_aside`)."""
        since = min(r.created if r.waiting_since is None else r.waiting_since for r in job.requests)
        if self._snapshot.now - since >= self.policy.patience_s:
            self._patient.append(job)

    def set_aside(self) -> None:
        """From now on nobody takes the room that is kept.

        It holds against work beyond its project's fair share only: that is what takes the room of others
        who wait. One job of each pool at a time, and only room that work that ends by itself will leave.
        """
        while self._patient:
            job = self._patient.pop(0)
            account = self.ledger.account_for(job.first)
            if account is None or account.pool in self._kept_in:
                continue
            tried = (self._keep_all(job, part) for part in domains(self.everywhere, job.gang, self.nodes(job)))
            if windows := next((windows for windows in tried if windows), None):
                self.kept |= windows
                self._kept_in.add(account.pool)

    def _keep_all(self, job: Job, domain: Domain) -> dict[str, Window]:
        mark, windows = self.cluster.mark(), {}
        for request in job.requests:
            window = self.search.cheapest(request, self.victims.ending(), domain)
            if window is None:
                self.cluster.undo(mark)
                return {}
            self.cluster.keep(replace(request, claim=f"{request.claim} kept"), window.seats)
            windows[request.claim] = window
        return windows

    def figures(self, request: Request) -> str:
        """What its project uses and may use where the request counts, for people."""
        account = self.ledger.account_for(request)
        return self._reasons.figures(request.project, account.pool if account else "")

    def homes(self, request: Request, window: Window) -> list[Move] | None:
        """Where those in a window could go if it were opened by moving all of them now; None where they cannot."""
        return self._moving.homes(request, window)

    def nodes(self, job: Job) -> list[str]:
        """Where members of the job's gang are, or will be."""
        key = gang_key(job.first)
        if key is None:
            return []
        running = [h.grant.node for h in self.victims.members(key) if h.request.claim not in self.cluster.leaving]
        return running + [found.grant.node for found in self.found.values() if gang_key(found.request) == key]

    def _place_all(self, job: Job, domain: Domain, means: _Means) -> bool:
        mark = self._mark()
        for request in job.requests:
            if not self._place(request, domain, means):
                self._undo(mark)
                return False
        self._join(job)
        return True

    def _join(self, job: Job) -> None:
        """Members of a gang wait for all that any of them waits for."""
        everyone = NOBODY.union(
            *(self.found[r.claim].window.gone | set(self.found[r.claim].evicts) for r in job.requests)
        )
        for request in job.requests:
            self.found[request.claim] = replace(self.found[request.claim], waits_for=everyone)

    def _place(self, request: Request, domain: Domain, means: _Means) -> bool:
        part = self.affordable(request, domain)
        if seats := self.free(request, part):
            self._take(request, Window(tuple(seats)))
            return True
        if means.move and self._by_moving(request, part):
            return True
        window = means.licence and self.search.cheapest(request, means.licence, part)
        if not window or not self._within_budget(window) or not self.may_have(request, window.seats, window):
            return False
        self._take(request, window)
        return True

    def affordable(self, request: Request, domain: Domain) -> Domain:
        """The nodes of the domain in pools where quota and limit leave room for what is asked."""
        names = self.ledger.candidates(request)
        least = asked(request.demand, self._snapshot.models)
        paid = tuple(name for name in names if least <= self.ledger.headroom(request, name))
        if len(paid) == len(names):
            return domain
        key = (domain.name, paid)
        if key not in self._parts:
            self._parts[key] = Domain(key, tuple(host for host in domain.hosts if host.node.pool in paid))
        return self._parts[key]

    def free(self, request: Request, domain: Domain) -> list[Seat]:
        """The best place that is free now."""
        seats = self._places.best(request, domain)
        return seats if seats and self.may_have(request, seats) else []

    def may_have(self, request: Request, seats: Sequence[Seat], window: Window | None = None) -> bool:
        """Whether quota and limit, and for reclaimed room the fair share, cover what the seats count for."""
        gpus = sum(seat.share.portion for seat in seats)
        pool = seats[0].board.host.node.pool
        if gpus > self.ledger.headroom(request, pool):
            self.beyond_quota[request.claim] = gpus
            return False
        return window is None or self.victims.fairly(request, pool, gpus, window.gone)

    def _within_budget(self, window: Window) -> bool:
        evictions = len(self.cluster.leaving) - self._leaving_before
        return evictions + len(self.victims.new(window.gone)) <= self.policy.evictions

    def _by_moving(self, request: Request, domain: Domain) -> bool:
        """Open a window whose holders all get a new place at once."""
        key = ("move", shape(request), request.project, request.preemptible, domain.name)
        if key in self._hopeless:
            return False
        budget = self.policy.evictions - (len(self.cluster.leaving) - self._leaving_before)
        if opened := self._moving.open(request, domain, budget):
            window, grant, moves = opened
            reasons = {move.request.claim: self._reasons.moved(move.grant, request) for move in moves}
            self.found[request.claim] = Found(request, window, grant, reasons, tuple(moves))
            return True
        self._hopeless[key] = None
        return False

    def give(self, request: Request, window: Window, victims: Sequence[Holding], suffix: str = "") -> Grant:
        """Give a window out and book it; `suffix` tells the new share of one who moves from the one he leaves."""
        for holding in victims:
            self.ledger.release(holding)
        taken = replace(request, claim=f"{request.claim}{suffix}") if suffix else request
        grant = self.cluster.take(taken, window.seats, [victim.request.claim for victim in victims])
        self.ledger.charge(request, grant)
        return grant

    def _take(self, request: Request, window: Window) -> None:
        victims = self.victims.new(window.gone)
        reasons = {v.request.claim: self._reasons.evicted(v, request) for v in victims}
        grant = self.give(request, window, victims)
        self.found[request.claim] = Found(request, window, grant, reasons)

    def _mark(self) -> tuple[int, ...]:
        """A moment to go back to. What was hopeless then stays so: a plan in the making only grows."""
        return self.cluster.mark(), self.ledger.mark(), len(self._hopeless), len(self.found)

    def _undo(self, mark: tuple[int, ...]) -> None:
        cluster, ledger, hopeless, found = mark
        if len(self.found) == found:
            return
        self.cluster.undo(cluster)
        self.ledger.undo(ledger)
        self.search.undo(ledger)
        while len(self._hopeless) > hopeless:
            self._hopeless.popitem()
        while len(self.found) > found:
            self.found.popitem()
