"""Whom a job may push aside, whom it may move, and what that costs.

    preempt   inside a project: preemptible work of strictly lower priority
    reclaim   across projects: for a job that stays inside its project's fair share, preemptible work of
              projects above both their fair share and their quota, down to there and no further;
              between departments the same holds of the departments too
    move      any preemptible work that does not forbid it, if it gets a new place at once

Nobody is pushed aside before his project's minimum runtime, or while something protects him. With
a member its whole gang goes, unless enough members are left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from solver.disruption.cover import fewest
from solver.model.demand import Holding, Request
from solver.model.occupation import millionths
from solver.model.snapshot import Snapshot
from solver.quota.accounting import asked, granted
from solver.quota.jobs import GangKey, QueuedJob, gang_key
from solver.quota.ledger import EPSILON, Account, Ledger
from solver.working_copy.copy import WorkingCopy

Claims = frozenset[str]
Cost = tuple[object, ...]
LEAVING = "leaving"
"""The key of rights that cover those only who are leaving anyway."""


@dataclass(frozen=True, slots=True)
class EvictionRights:
    """Whose eviction a search may count on.

    key      searches of the same key and the same request shape have the same answer
    may_go   whether this claim may go at all
    complete those that go when these go (its gang, say); None where they may not go together
    cost     what it costs that these go: the smaller, the better
    """

    key: Hashable
    may_go: Callable[[str], bool]
    complete: Callable[[Claims], Claims | None]
    cost: Callable[[Claims], Cost]


class Victims:
    """The holders of one snapshot, and what the plan in the making has decided about them."""

    def __init__(self, snapshot: Snapshot, copy: WorkingCopy) -> None:
        ledger = copy.ledger
        self.held = {holding.request.claim: holding for holding in snapshot.held}
        self._ledger = ledger
        self._models = snapshot.models
        self._cluster = copy.cluster
        self._gangs: defaultdict[GangKey, list[str]] = defaultdict(list)
        self._accounts: dict[str, Account | None] = {}
        self._fixed: set[str] = set()
        self._lowest: dict[str, int] = {}
        for holding in snapshot.held:
            request = holding.request
            if request.gang is not None and not holding.releasing and (key := gang_key(request)):
                self._gangs[key].append(request.claim)
            if not _movable(holding, snapshot, ledger):
                self._fixed.add(request.claim)
            elif self._lowest.get(request.project, request.priority) >= request.priority:
                self._lowest[request.project] = request.priority
        self._above: defaultdict[str, list[Account]] = defaultdict(list)
        for account in ledger.accounts.values():
            if account.excess > EPSILON:
                self._above[account.pool].append(account)

    def anyone(self, but: Claims = frozenset()) -> EvictionRights:
        """For explanations: the fewest whose going would help, whether they may be told to or not."""
        return EvictionRights(("anyone", but), lambda claim: claim not in but, lambda removed: removed, self._fewest)

    def ending(self) -> EvictionRights:
        """For room that is waited for: the fewest of those that end by themselves."""
        return EvictionRights("ending", self._ends, lambda removed: removed, self._fewest)

    def movers(self) -> EvictionRights:
        """For consolidation: work that may be restarted elsewhere."""
        return EvictionRights(
            "movers",
            lambda claim: self.is_leaving(claim) or self.may_move(claim),
            self._movers_complete,
            self._moves,
        )

    def of(self, job: QueuedJob, wants: float) -> EvictionRights:
        """For a job that takes `wants` GPUs: work that has to give way to it, and what is leaving anyway."""
        claims = {name: self._entitlement(job, name, wants) for name in self._ledger.candidates(job.first)}
        priority = min(request.priority for request in job.requests)
        project = job.first.project if priority > self._lowest.get(job.first.project, priority) else ""
        reclaims = any(
            own.project and any(account.excess > EPSILON for account in self._above.get(pool, ()))
            for pool, own in claims.items()
        )
        if not project and not reclaims:
            return EvictionRights(LEAVING, self.is_leaving, lambda removed: removed, self._losses)
        judge = _Judge(self, project, priority, claims)
        key = (project, priority if project else 0, tuple(claims.items()))
        return EvictionRights(key, judge.may_go, judge.complete, self._losses)

    def beyond_quotas(self, job: QueuedJob, wants: float) -> EvictionRights | None:
        """For a job inside its project's quota for which those of `of` open nothing: work beyond the quota of others.

        The fair share counts what cannot serve the job, too: who holds all that can need not be above it.
        """
        pools = [name for name in self._ledger.candidates(job.first) if self._inside_quota(job, name, wants)]
        claims = {name: self._entitlement(job, name, wants) for name in pools}
        if not any(own.project for own in claims.values()):
            return None
        judge = _Judge(self, "", 0, claims, lambda level: level.beyond_quota)
        key = ("beyond quota", job.first.project, tuple(claims.items()))
        return EvictionRights(key, judge.may_go, judge.complete, self._losses)

    def _inside_quota(self, job: QueuedJob, pool: str, wants: float) -> bool:
        account = self._ledger.account(job.first.project, pool)
        return account is not None and all(
            level.quota.quota < 0 or level.allocated + wants <= level.quota.quota + EPSILON for level in account.chain
        )

    def entitled(self, job: QueuedJob, wants: float) -> bool:
        """Whether the job stays inside its project's fair share, in some pool."""
        return any(self._entitlement(job, pool, wants).project for pool in self._ledger.candidates(job.first))

    def closure(self, removed: Claims) -> Claims:
        """With these, every member of a gang that could not go on without them."""
        out = self._cluster.leaving
        everyone = set(removed)
        for key in {key for c in removed if c in self.held and (key := gang_key(self.held[c].request))}:
            staying = [c for c in self._gangs[key] if c not in everyone and c not in out]
            gang = self.held[self._gangs[key][0]].request.gang if self._gangs[key] else None
            if gang and len(staying) < gang.size:
                everyone.update(staying)
        return frozenset(everyone)

    def account(self, claim: str) -> Account | None:
        """The account that a claim's share is booked on."""
        if claim not in self._accounts:
            holding = self.held[claim]
            pool = self._ledger.pool_of.get(holding.grant.node, "")
            self._accounts[claim] = self._ledger.account(holding.request.project, pool)
        return self._accounts[claim]

    def new(self, removed: Iterable[str]) -> list[Holding]:
        """Those of `removed` that would have stayed."""
        out = self._cluster.leaving
        return [self.held[claim] for claim in sorted(removed) if claim not in out and claim in self.held]

    def members(self, gang: GangKey | None) -> list[Holding]:
        """Those of a gang that hold their share, the leaving ones left out."""
        return [self.held[claim] for claim in self._gangs.get(gang, ())] if gang else []

    def fairly(self, request: Request, pool: str, gpus: float, removed: Claims) -> bool:
        """Whether those of other projects among `removed` go for no more than the request's fair share, or quota."""
        account = self._ledger.account(request.project, pool)
        others = {h.request.project for h in self.new(removed)} - {request.project}
        if account is None or not others:
            return True
        inside = account.parent is not None and others <= {member.name for member in account.parent.members}
        levels = [account] if inside else [*account.chain]
        if all(level.allocated + gpus <= max(level.fair_share, level.quota.quota) + EPSILON for level in levels):
            return True
        # An instance may count for more than was asked for, and that bounds the share: divide by what is taken.
        more = gpus - asked(request.demand, self._models)
        shares = self._ledger.share_if(account, more) if more > EPSILON else {}
        return bool(shares) and all(level.allocated + gpus <= shares[level] + EPSILON for level in levels)

    def yields(self, request: Request, level: Account) -> float:
        """GPUs of an account that may have to be given back to a request: at most, for rights look closer.

        They are those of less important work of its project and, in its department, of projects above their share.
        """
        out = self._cluster.leaving
        return sum(
            granted(holding.grant)
            for account in (level.members or (level,))
            for claim, holding in self._yielding.get(account, ())
            if claim not in out
            and (
                holding.request.priority < request.priority
                if holding.request.project == request.project
                else account.excess > EPSILON
            )
        )

    def released(self, removed: Claims, level: Account) -> float:
        """GPUs of an account that are given back when these go."""
        return sum(granted(h.grant) for h in self.new(removed) if self._counts_in(h.request.claim, level))

    def within_limit(
        self, request: Request, pool: str, gpus: float, removed: Claims, rights: EvictionRights
    ) -> Claims | None:
        """`removed`, and the fewest more that must go before every limit leaves room for so many GPUs.

        None where none suffice.
        """
        account = self._ledger.account(request.project, pool)
        levels = [*account.chain] if account else []
        lack = [max(0.0, gpus - level.headroom(True, self.released(removed, level))) for level in levels]
        if all(missing <= EPSILON for missing in lack):
            return removed
        out = self._cluster.leaving
        inside = (
            claim
            for claim in self.held
            if claim not in removed and claim not in out and self._counts_in(claim, levels[-1]) and rights.may_go(claim)
        )
        together = {self.closure(frozenset((claim,))) for claim in inside}
        groups = sorted((group for group in together if all(map(rights.may_go, group))), key=rights.cost)
        chosen = fewest(
            tuple(map(millionths, lack)),
            [tuple(millionths(self.released(group - removed, level)) for level in levels) for group in groups],
        )
        if chosen is None:
            return None
        return rights.complete(removed.union(*(groups[position] for position in chosen)))

    def _counts_in(self, claim: str, level: Account) -> bool:
        account = self.account(claim)
        return account is not None and level in account.chain

    @cached_property
    def _yielding(self) -> Mapping[Account, list[tuple[str, Holding]]]:
        """What may be told to go, by the account that it is booked on."""
        found: defaultdict[Account, list[tuple[str, Holding]]] = defaultdict(list)
        for claim, holding in self.held.items():
            if claim not in self._fixed and (booked := self.account(claim)):
                found[booked].append((claim, holding))
        return found

    def hold(self, request: Request) -> None:
        """The request joins a gang that runs: from now on its members stay, for they are what it joins."""
        if key := gang_key(request):
            self._fixed.update(self._gangs[key])

    def fixed(self, claim: str) -> bool:
        """Whether a claim may neither be stopped nor moved now."""
        return claim in self._fixed or claim not in self.held

    def may_move(self, claim: str) -> bool:
        """Whether a claim may be stopped now to start again elsewhere."""
        return not self.fixed(claim) and self.held[claim].request.movable

    def is_leaving(self, claim: str) -> bool:
        return claim in self._cluster.leaving

    def _entitlement(self, job: QueuedJob, pool: str, wants: float) -> _Entitlement:
        account = self._ledger.account(job.first.project, pool)
        if account is None:
            return _Entitlement(False, False)
        own, *above = [level.allocated + wants <= level.fair_share + EPSILON for level in account.chain]
        return _Entitlement(own, all(above), account.parent)

    def _ends(self, claim: str) -> bool:
        return self.is_leaving(claim) or (claim in self.held and self.held[claim].request.preemptible)

    def _movers_complete(self, removed: Claims) -> Claims | None:
        everyone = self.closure(removed)
        return everyone if all(self.may_move(holding.request.claim) for holding in self.new(everyone)) else None

    def _fewest(self, removed: Claims) -> Cost:
        out = self._cluster.leaving
        unknown = sum(claim not in self.held and claim not in out for claim in removed)
        known = self.new(removed)
        ranked = sorted(((h.request.priority, -h.since, h.request.claim) for h in known), reverse=True)
        return (len(known) + unknown, unknown, ranked, len(removed))

    def _losses(self, removed: Claims) -> Cost:
        """Lowest priority, least over-eviction, fewest pods, newest."""
        known = self.new(removed)
        highest = max((h.request.priority for h in known), default=0)
        newest = sorted(((-h.since, h.request.claim) for h in known), reverse=True)
        return (highest, round(sum(granted(h.grant) for h in known), 6), len(known), newest, len(removed))

    def _moves(self, removed: Claims) -> Cost:
        """Fewest pods, then the smallest and the least important, then the newest."""
        highest, gpus, pods, *rest = self._losses(removed)
        return (pods, gpus, highest, *rest)


@dataclass(frozen=True, slots=True)
class _Entitlement:
    """Whether a job stays inside its project's and its department's fair share of a pool."""

    project: bool
    above: bool
    department: Account | None = None


class _Judge:
    """Whether claims have to give way to a job.

    project   where it has work of lower priority than the job's, else ""
    entitled  what the job may reclaim, by pool
    excess    GPUs of an account that may be reclaimed
    """

    def __init__(
        self,
        victims: Victims,
        project: str,
        priority: int,
        entitled: Mapping[str, _Entitlement],
        excess: Callable[[Account], float] = lambda account: account.excess,
    ) -> None:
        self._victims = victims
        self._excess = excess
        self._project = project
        self._priority = priority
        self._entitled = entitled

    def may_go(self, claim: str) -> bool:
        if self._victims.is_leaving(claim):
            return True
        if self._victims.fixed(claim):
            return False
        request = self._victims.held[claim].request
        if request.project == self._project:
            return request.priority < self._priority
        levels = self._reclaimed_from(claim)
        return levels is not None and all(self._excess(level) > EPSILON for level in levels)

    def complete(self, removed: Claims) -> Claims | None:
        everyone = self._victims.closure(removed)
        if not all(self.may_go(claim) for claim in everyone):
            return None
        return everyone if self._leaves_their_share(everyone) else None

    def _reclaimed_from(self, claim: str) -> tuple[Account, ...] | None:
        """The accounts that must be above their share for the claim to go; None where the job is not entitled."""
        account = self._victims.account(claim)
        own = self._entitled.get(account.pool) if account else None
        if account is None or own is None or not own.project:
            return None
        if own.department is not None and own.department is account.parent:
            return (account,)
        return (*account.chain,) if own.above else None

    def _leaves_their_share(self, everyone: Claims) -> bool:
        """Every account loses only while it is above its share: without its largest loss it still would be."""
        losses: defaultdict[Account, defaultdict[Hashable, float]] = defaultdict(lambda: defaultdict(float))
        for holding in self._victims.new(everyone):
            request = holding.request
            if request.project != self._project:
                for level in self._reclaimed_from(request.claim) or ():
                    losses[level][gang_key(request) or request.claim] += granted(holding.grant)
        return all(
            sum(lost.values()) - max(lost.values()) < self._excess(account) - EPSILON
            for account, lost in losses.items()
        )


def _movable(holding: Holding, snapshot: Snapshot, ledger: Ledger) -> bool:
    if not holding.request.preemptible or holding.protected:
        return False
    project = ledger.projects.get(holding.request.project)
    return project is None or not 0 < project.min_runtime_s > snapshot.now - holding.since
