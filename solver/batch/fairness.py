"""Whose turn it is, for very many requests at once: tiers instead of one job after another.

A project's requests, in its own order, fall into those inside its fair share and those beyond it.
Tiers are served one after the other: inside the share before beyond it, then by priority. Within a
tier the plan that admits most weight decides. Quotas and limits stay exact: they are caps of the
program (problem.py), not estimates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from solver.batch.columns.arrays import Ints, Marks, begins, in_groups
from solver.batch.columns.gpu_columns import UNUSABLE, GpuColumns
from solver.batch.columns.held_columns import Holdings
from solver.batch.columns.request_columns import Requests
from solver.model.demand import Request
from solver.model.snapshot import Snapshot
from solver.quota.accounting import asked
from solver.quota.jobs import GangKey, gang_key
from solver.quota.ledger import EPSILON, Account, Ledger
from solver.quota.pools import PoolCount, held_on, pools_of
from solver.quota.wants import Want, WantPart, backing_off, want_key

REFUSED = -1
BEYOND = 1_000_000
NO_WANT = -1


class Fairness:
    """tier: (R,) of each request, 0 first, REFUSED for those that may not be served now; beyond: its fair share."""

    def __init__(self, snapshot: Snapshot, gpus: GpuColumns, holdings: Holdings, requests: Requests) -> None:
        self._open(snapshot, gpus, holdings)
        barred = [self._barred(request, snapshot) for request in requests.examples]
        wants, want_of_kind = _wants(snapshot, requests, barred)
        parts = self.ledger.count_wants(wants)
        self.ledger.divide()
        self.beyond = self._beyond(requests, wants, want_of_kind, parts)
        self.tier = _tiers(requests, np.array(barred, dtype=bool), self.beyond)

    def rebook(self, snapshot: Snapshot, gpus: GpuColumns, holdings: Holdings) -> None:
        """Read the accounts anew after others have been served; fair shares stay what they were."""
        before = self.ledger.accounts
        self._open(snapshot, gpus, holdings)
        for key, account in self.ledger.accounts.items():
            account.fair_share = before[key].fair_share

    def _open(self, snapshot: Snapshot, gpus: GpuColumns, holdings: Holdings) -> None:
        bare = replace(snapshot, nodes=(), gpus=(), held=(), pending=())
        self.ledger = Ledger(bare, pools_of(_counts(snapshot, gpus)))
        self._accounts: dict[tuple[str, tuple[str, ...]], list[tuple[str, Account]]] = {}
        self._least = holdings.least
        self._book(holdings)

    def may_preempt(self, request: Request) -> bool:
        """Whether its project has less important work that may have to give way to it."""
        return self._least.get(request.project, request.priority) < request.priority

    def reclaimable(self) -> set[str]:
        """Projects that hold more than is theirs in some pool."""
        return {name for (name, _), account in self.ledger.accounts.items() if account.excess > EPSILON}

    def beyond_quotas(self) -> set[str]:
        """Projects that hold more than their quota somewhere: what others' quotas may take, if nothing else serves."""
        return {name for (name, _), account in self.ledger.accounts.items() if account.beyond_quota > EPSILON}

    def inside_quotas(self) -> set[str]:
        """Projects that hold less than their quota somewhere."""
        accounts = self.ledger.accounts.items()
        return {name for (name, _), a in accounts if not 0 <= a.quota.quota <= a.allocated + EPSILON}

    def _barred(self, request: Request, snapshot: Snapshot) -> bool:
        """Whether it may not start now whatever room there is."""
        return backing_off(request, snapshot) or request.project not in self.ledger.projects

    def accounts(self, request: Request) -> Sequence[tuple[str, Account]]:
        """Its project's account in each pool that it may use."""
        key = (request.project, request.pools)
        if key not in self._accounts:
            found = ((name, self.ledger.account(request.project, name)) for name in self.ledger.candidates(request))
            self._accounts[key] = [(name, account) for name, account in found if account]
        return self._accounts[key]

    def _book(self, holdings: Holdings) -> None:
        for (project, pool, preemptible), gpus in holdings.held.items():
            account = self.ledger.account(project, pool)
            for level in account.chain if account else ():
                level.allocated += gpus
                level.standing += gpus
                level.non_preemptible += 0.0 if preemptible else gpus

    def _beyond(
        self, requests: Requests, wants: Sequence[Want], want_of_kind: Ints, parts: Sequence[Sequence[WantPart]]
    ) -> Marks:
        """(R,) whether a request, with those of its project ahead of it, is more than the fair share has left."""
        accounts = {key: number for number, key in enumerate(self.ledger.accounts)}
        rest = np.array([max(0.0, account.fair_share - account.allocated) for account in self.ledger.accounts.values()])
        flat = [
            (accounts[want.first.project, part.pool], want.gpus if part.wanted else 0.0, part.wanted, part.number)
            for want, mine in zip(wants, parts, strict=True)
            for part in mine
        ]
        want = np.append(want_of_kind, NO_WANT)[requests.kind[requests.order]]
        has_account = np.append([bool(mine) for mine in parts], False)[want]
        ordered, want = requests.order[has_account], want[has_account]
        beyond = np.ones(len(requests.kind), dtype=bool)
        if not len(ordered):
            return beyond
        account, gpus, wanted, number = (np.array(column) for column in zip(*flat, strict=True))
        by_want = in_groups(want, len(wants))
        part = np.empty(len(ordered), dtype=np.int64)
        part[by_want] = np.repeat(np.arange(len(flat)), number)
        by_account = in_groups(account[part], len(accounts))
        part = part[by_account]
        reach = np.cumsum(gpus[part])
        whose = account[part]
        first = begins(whose, len(accounts))
        ahead = np.append(0.0, reach)[first][whose]
        beyond[ordered[by_account]] = (reach - ahead > rest[whose] + EPSILON) | ~wanted[part]
        return beyond


def _wants(snapshot: Snapshot, requests: Requests, barred: Sequence[bool]) -> tuple[list[Want], Ints]:
    """The wants in the order of their first request, and (K,) the want of each kind, NO_WANT for those barred."""
    examples, ordered = requests.examples, requests.kind[requests.order]
    number = np.bincount(ordered, minlength=len(examples))
    first = np.empty(len(examples), dtype=np.int64)
    first[ordered[::-1]] = np.arange(len(ordered))[::-1]
    gpus = {demand: asked(demand, snapshot.models) for demand in dict.fromkeys(r.demand for r in examples)}
    places: dict[Hashable, int] = {}
    oldest, numbers = list[Request](), list[int]()
    want_of_kind = np.full(len(examples), NO_WANT)
    for kind in np.argsort(first).tolist():
        if not barred[kind]:
            place = want_of_kind[kind] = places.setdefault(want_key(examples[kind]), len(oldest))
            if place == len(oldest):
                oldest.append(requests.pending[int(requests.order[first[kind]])])
                numbers.append(0)
            numbers[place] += int(number[kind])
    wants = [Want(request, gpus[request.demand], many) for request, many in zip(oldest, numbers, strict=True)]
    return wants, want_of_kind


def _tiers(requests: Requests, barred: Marks, beyond: Marks) -> Ints:
    """(R,) tiers: inside the fair share before beyond it, then by priority; REFUSED for the barred."""
    examples = requests.examples
    look = beyond * len(examples) + requests.kind
    priority = np.array([request.priority for request in examples], dtype=np.int64)
    rank = np.concatenate([-priority, BEYOND - priority])
    present = np.bincount(look, minlength=len(rank)) > 0
    kind = np.arange(len(rank)) % len(examples)
    for members in _gangs(examples):
        mine = present & np.isin(kind, members)
        rank[mine] = rank[mine].min()
    usable = present & ~barred[kind]
    tier = np.full(len(rank), REFUSED, dtype=np.int64)
    tier[usable] = np.unique(rank[usable], return_inverse=True)[1].ravel()
    found: Ints = tier[look]
    return found


def _gangs(examples: Sequence[Request]) -> list[list[int]]:
    """Kinds of the members of each gang: they take their turn together."""
    found: defaultdict[GangKey, list[int]] = defaultdict(list)
    for kind, request in enumerate(examples):
        if key := gang_key(request):
            found[key].append(kind)
    return list(found.values())


def _counts(snapshot: Snapshot, gpus: GpuColumns) -> dict[str, PoolCount]:
    """What each pool is made of, from columns."""
    names = list(dict.fromkeys(node.pool for node in snapshot.nodes))
    counts = {name: PoolCount() for name in names}
    numbers = {name: number for number, name in enumerate(names)}
    pool = np.array([*(numbers[node.pool] for node in snapshot.nodes), len(names)], dtype=np.int64)[gpus.node]
    known = pool < len(names)
    serves = known & (gpus.kind != UNUSABLE)
    usable = np.bincount(pool[serves] * len(gpus.kinds) + gpus.kind[serves], minlength=len(names) * len(gpus.kinds))
    for place in np.flatnonzero(usable).tolist():
        count, kind = counts[names[place // len(gpus.kinds)]], gpus.kinds[place % len(gpus.kinds)]
        count.usable += int(usable[place])
        if kind.mig and kind.model:
            count.slices.add(kind.model.slices)
    rows, part = gpus.others
    mine = serves[rows]
    for name, others in zip(names, np.bincount(pool[rows[mine]], part[mine], len(names)).tolist(), strict=True):
        counts[name].others = others
    idle = np.flatnonzero(known & ~serves).tolist()
    for name, held in held_on({gpus.gpus[row].uuid: names[pool[row]] for row in idle}, snapshot.held).items():
        counts[name].held = held
    return counts
