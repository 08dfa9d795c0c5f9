"""The accounts of one decision: what queues have, want and are entitled to, per node pool.

A project has an account in every pool. A department has one in every pool where it has a quota of
its own; it stands above its projects' accounts, and what they are charged it is charged too. A
department without a quota in a pool is no level there: its projects stand beside the others.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from solver.model.demand import Grant, Holding, Request
from solver.model.reasons import QueueFigures
from solver.model.snapshot import Quota, Snapshot
from solver.quota.accounting import asked, granted
from solver.quota.fair_share import Group, Queue, divide_top_down
from solver.quota.pools import Pool, pools
from solver.quota.wants import Want, WantPart, backing_off, want_key

EPSILON = 1e-6


@dataclass(slots=True, eq=False)
class Account:
    """A queue's GPUs in one pool.

    allocated        held, or given out by the plan; those told to stop are not counted any more
    non_preemptible  the part of it that may not be preempted
    standing         the part of it that was held before the plan
    wanted           allocated at the start, and pending
    """

    name: str
    pool: str
    quota: Quota
    created: float = 0.0
    parent: Account | None = None
    allocated: float = 0.0
    non_preemptible: float = 0.0
    standing: float = 0.0
    wanted: float = 0.0
    fair_share: float = 0.0
    members: list[Account] = field(default_factory=list)
    kind: str = "project"

    @property
    def chain(self) -> Iterator[Account]:
        """The account and those above it."""
        yield self
        if self.parent:
            yield self.parent

    @property
    def excess(self) -> float:
        """GPUs held above both fair share and quota: what others may reclaim. 0 or less: nothing."""
        quota = math.inf if self.quota.quota < 0 else self.quota.quota
        return self.standing - max(quota, self.fair_share)

    @property
    def beyond_quota(self) -> float:
        """GPUs held above the quota alone: what others' quotas take first. 0 or less: nothing."""
        return self.standing - (math.inf if self.quota.quota < 0 else self.quota.quota)

    def headroom(self, preemptible: bool, released: float = 0.0) -> float:
        """GPUs that limit and, for work that may not be preempted, quota leave.

        released: GPUs of preemptible work that goes; the limit counts them no more.
        """
        limit = math.inf if self.quota.limit < 0 else self.quota.limit - self.allocated + released
        firm = math.inf if preemptible or self.quota.quota < 0 else self.quota.quota - self.non_preemptible
        return min(limit, firm)

    def figures(self, several_pools: bool) -> QueueFigures:
        """The account as facts. several_pools: whether it matters which pool it is in."""
        return QueueFigures(
            self.kind,
            self.name,
            self.pool if several_pools else "",
            self.allocated,
            self.non_preemptible,
            self.quota.quota,
            self.quota.limit,
            self.fair_share,
        )

    @property
    def text(self) -> str:
        """The figures for people."""
        quota = "unlimited" if self.quota.quota < 0 else f"{self.quota.quota:.2f}"
        return f"allocated {self.allocated:.2f}, quota {quota}, fair share {self.fair_share:.2f}"


Released = Callable[[Account], float]
"""GPUs of an account whose holders go."""


def nothing(_account: Account) -> float:
    """Nobody goes."""
    return 0.0


class Ledger:
    """Accounts of all projects in all pools, and of departments. Charges can be taken back (`undo`).

    counted: the pools where the caller has counted them; it also counts what is wanted, and divides
    """

    def __init__(self, snapshot: Snapshot, counted: dict[str, Pool] | None = None) -> None:
        self.pools = pools(snapshot) if counted is None else counted
        self.pool_of = {node.name: node.pool for node in snapshot.nodes}
        self.projects = {project.name: project for project in snapshot.projects}
        self.departments: dict[tuple[str, str], Account] = {}
        self.accounts: dict[tuple[str, str], Account] = {}
        self.pool_for: dict[str, str] = {}
        self._totals = {name: Account("", name, Quota()) for name in self.pools}
        self._journal: list[tuple[Account, float, float, float]] = []
        self._open(snapshot)
        self._count_held(snapshot.held)
        if counted is None:
            self._count_pending(snapshot)
            self.divide()
        self._journal.clear()

    def _count_held(self, held: Iterable[Holding]) -> None:
        """Count what claims hold, but for those told to stop."""
        given: defaultdict[tuple[str, str], float] = defaultdict(float)
        firm: defaultdict[tuple[str, str], float] = defaultdict(float)
        for holding in held:
            if not holding.releasing:
                request, grant = holding.request, holding.grant
                key = (request.project, self.pool_of.get(grant.node, ""))
                gpus = grant.devices[0].portion if len(grant.devices) == 1 else granted(grant)
                given[key] += gpus
                if not request.preemptible:
                    firm[key] += gpus
        for key, gpus in given.items():
            account = self.accounts.get(key)
            for level in (*account.chain, self._totals[account.pool]) if account else ():
                level.allocated += gpus
                level.non_preemptible += firm[key]
                level.standing += gpus

    def account(self, project: str, pool: str) -> Account | None:
        return self.accounts.get((project, pool))

    def account_for(self, request: Request) -> Account | None:
        """The account in the pool where a pending request counts."""
        names = self.candidates(request)
        pool = self.pool_for.get(request.claim, names[0] if names else "")
        return self.accounts.get((request.project, pool))

    def charge(self, request: Request, grant: Grant) -> None:
        """Count what the plan gives to a request."""
        self._book(request, grant, granted(grant), 0.0)

    def release(self, holding: Holding) -> None:
        """Count no more what a claim holds that the plan tells to stop."""
        gpus = granted(holding.grant)
        self._book(holding.request, holding.grant, -gpus, -gpus)

    def _book(self, request: Request, grant: Grant, gpus: float, standing: float) -> None:
        account = self.accounts.get((request.project, self.pool_of.get(grant.node, "")))
        for level in (*account.chain, self._totals[account.pool]) if account else ():
            self._journal.append((level, level.allocated, level.non_preemptible, level.standing))
            level.allocated += gpus
            level.non_preemptible += 0.0 if request.preemptible else gpus
            level.standing += standing

    def mark(self) -> int:
        """A moment to go back to with `undo`."""
        return len(self._journal)

    def undo(self, mark: int) -> None:
        while len(self._journal) > mark:
            account, *figures = self._journal.pop()
            account.allocated, account.non_preemptible, account.standing = figures

    def headroom(self, request: Request, pool: str, released: Released = nothing) -> float:
        """GPUs the request may be given in the pool: up to every limit, and if it may not be preempted, quota."""
        account = self.accounts.get((request.project, pool))
        if account is None:
            return 0.0
        return (
            min(
                level.headroom(request.preemptible, released(level) if level.quota.limit >= 0 else 0.0)
                for level in account.chain
            )
            + EPSILON
        )

    def free(self, request: Request) -> float:
        """GPUs that nobody was given in the pools the request may use, in however small pieces."""
        return sum(self.pools[name].gpus - self._totals[name].allocated for name in self.candidates(request)) + EPSILON

    def candidates(self, request: Request) -> list[str]:
        """Pools the request may use, in order of preference."""
        return [name for name in request.pools if name in self.pools] if request.pools else list(self.pools)

    def _open(self, snapshot: Snapshot) -> None:
        departments = {department.name: department for department in snapshot.departments}
        for pool in self.pools:
            for department in snapshot.departments:
                if quota := department.quotas.get(pool, department.default):
                    account = Account(department.name, pool, quota, department.created, kind="department")
                    self.departments[department.name, pool] = account
            for project in snapshot.projects:
                above = self.departments.get((project.department or "", pool)) if departments else None
                quota = project.quotas.get(pool, project.default)
                account = Account(project.name, pool, quota, project.created, above)
                self.accounts[project.name, pool] = account
                if above:
                    above.members.append(account)
        for name, divided in self.pools.items():
            heads = [account for account in self.departments.values() if account.pool == name]
            singles = [a for a in self.accounts.values() if a.pool == name and a.parent is None]
            _share_the_rest(divided.gpus, [*heads, *singles])
            for head in heads:
                _share_the_rest(head.quota.quota, head.members)
        for account in (*self.departments.values(), *self.accounts.values()):
            account.quota = _within(account.quota)

    def _count_pending(self, snapshot: Snapshot) -> None:
        alike: defaultdict[Hashable, list[Request]] = defaultdict(list)
        for request in sorted(snapshot.pending, key=lambda r: (-r.priority, r.created, r.claim)):
            if not backing_off(request, snapshot):
                alike[want_key(request)].append(request)
        wants = [Want(same[0], asked(same[0].demand, snapshot.models), len(same)) for same in alike.values()]
        for same, parts in zip(alike.values(), self.count_wants(wants), strict=True):
            pool_of_each = (part.pool for part in parts for _ in range(part.number))
            self.pool_for.update((r.claim, pool) for r, pool in zip(same, pool_of_each, strict=False))

    def count_wants(self, wants: Iterable[Want]) -> list[list[WantPart]]:
        """Each request counts in one pool: the first where its project's quota, else the pool, has room.

        Wants come in the order of priority, then age and claim of their first. Non-preemptible requests beyond the
        quota of their project or its department cannot start whatever is free and are not wanted. Returns where each
        want's requests count, the older ones first; nothing for a project or pools that are not known.
        """
        firm = {level: level.non_preemptible for level in (*self.accounts.values(), *self.departments.values())}
        free = {pool.name: pool.gpus for pool in self.pools.values()}
        for account in self.accounts.values():
            account.wanted = account.allocated
            free[account.pool] -= account.allocated
        choices: dict[tuple[str, tuple[str, ...]], list[Account]] = {}
        counted = list[list[WantPart]]()
        for want in wants:
            key = (want.first.project, want.first.pools)
            if key not in choices:
                choices[key] = self._choice(want.first)
            counted.append(_parts(want, choices[key], free, firm))
        return counted

    def _choice(self, request: Request) -> list[Account]:
        """Its project's accounts in the pools the request may use, in order of preference."""
        accounts = (self.account(request.project, name) for name in self.candidates(request))
        return [account for account in accounts if account]

    def divide(self) -> None:
        """Give every account its fair share of what its pool has, by what is wanted."""
        for pool in self.pools.values():
            self._divide(pool)

    def share_if(self, account: Account, more: float) -> dict[Account, float]:
        """What would be the fair share of the account and of those above it, if so many GPUs more were wanted."""
        upper, lower = self._shares(self.pools[account.pool], {account: more})
        return {level: (lower if level is account else upper)[level.name] for level in account.chain}

    def _shares(self, pool: Pool, more: Mapping[Account, float]) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """The fair shares of departments and of projects in a pool, by name."""
        tops = [a for (_, name), a in self.accounts.items() if name == pool.name and a.parent is None]
        above = [a for (_, name), a in self.departments.items() if name == pool.name]
        groups = [Group(a.name, a.quota, tuple(_queue(m, more) for m in a.members), a.created) for a in above]
        return divide_top_down(pool.gpus, groups, [_queue(a, more) for a in tops], pool.grain)

    def _divide(self, pool: Pool) -> None:
        upper, lower = self._shares(pool, {})
        for account in (a for (_, name), a in self.departments.items() if name == pool.name):
            account.fair_share = upper[account.name]
            account.wanted = sum(member.wanted for member in account.members)
        for name, share in lower.items():
            self.accounts[name, pool.name].fair_share = share


def _parts(want: Want, options: list[Account], free: dict[str, float], firm: dict[Account, float]) -> list[WantPart]:
    """Where the requests of one want count, by the rooms that the earlier ones left."""
    first, gpus, left = want
    parts = list[WantPart]()
    for account, room in _rooms(options, free):
        number = _whole(room, gpus, left)
        if not number:
            continue
        left -= number
        free[account.pool] -= number * gpus
        wanted = number
        if not first.preemptible:
            room = min((a.quota.quota - firm[a] for a in account.chain if a.quota.quota >= 0), default=math.inf)
            wanted = _whole(room, gpus, number)
            for level in account.chain:
                firm[level] += wanted * gpus
        account.wanted += wanted * gpus
        if wanted:
            parts.append(WantPart(account.pool, wanted, True))
        if wanted < number:
            parts.append(WantPart(account.pool, number - wanted, False))
        if not left:
            break
    return parts


def _rooms(options: list[Account], free: dict[str, float]) -> Iterator[tuple[Account, float]]:
    """Where to count, and for how many GPUs there is room when its turn comes: quotas, pools, then the first choice."""
    for account in options:
        yield account, math.inf if account.quota.quota < 0 else account.quota.quota - account.wanted
    for account in options:
        yield account, free[account.pool]
    for account in options[:1]:
        yield account, math.inf


def _whole(room: float, gpus: float, most: int) -> int:
    """How many requests of so many GPUs there is room for, up to `most`."""
    if gpus <= 0 or (most * gpus) <= room + EPSILON:
        return most
    return max(0, int((room + EPSILON) / gpus))


def _queue(account: Account, more: Mapping[Account, float]) -> Queue:
    return Queue(account.name, account.wanted + more.get(account, 0.0), account.quota, account.created)


def _within(quota: Quota) -> Quota:
    """A queue without a weight takes no part in what is left over: its quota is its limit."""
    if quota.weight > 0 or quota.quota < 0 or 0 <= quota.limit <= quota.quota:
        return quota
    return replace(quota, limit=quota.quota)


def _share_the_rest(gpus: float, accounts: Iterable[Account]) -> None:
    """An unlimited quota is what the quotas of the others leave: it takes nothing that they are promised."""
    every = list(accounts)
    promised = sum(account.quota.quota for account in every if account.quota.quota > 0)
    for account in every:
        if promised and account.quota.quota < 0 and gpus >= 0:
            account.quota = replace(account.quota, quota=max(0.0, gpus - promised))
