"""Whose turn it is, for very many requests at once: tiers instead of one job after another.

A project's requests, in its own order, fall into those inside its fair share and those beyond it.
Tiers are served one after the other: inside the share before beyond it, then by priority. Within a
tier the plan that admits most weight decides. Quotas and limits stay exact: they are caps of the
program (problem.py), not estimates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from solver.batch.counting import begins, in_groups
from solver.batch.gpu_columns import UNUSABLE, Gpus
from solver.batch.held_columns import Holdings
from solver.batch.request_columns import Ints, Requests
from solver.model.demand import Request
from solver.model.snapshot import Snapshot
from solver.quota.accounting import asked
from solver.quota.jobs import GangKey, gang_key
from solver.quota.ledger import EPSILON, Account, Ledger
from solver.quota.pools import Pool

Flags = NDArray[np.bool_]
REFUSED = -1
BEYOND = 1_000_000


class Fairness:
    """tier: (R,) of each request, 0 first, REFUSED for those that may not be served now; beyond: its fair share."""

    def __init__(self, snapshot: Snapshot, gpus: Gpus, holdings: Holdings, requests: Requests) -> None:
        self.rebook(snapshot, gpus, holdings)
        count = np.bincount(requests.kind, minlength=len(requests.examples))
        demands = dict.fromkeys(request.demand for request in requests.examples)
        gpus_of = {demand: asked(demand, snapshot.models) for demand in demands}
        self._wants = np.array([gpus_of[request.demand] for request in requests.examples])
        barred = [self.barred(request, snapshot) for request in requests.examples]
        self._count_wants(requests, count, barred)
        self.ledger.divide()
        self.tier = self._tiers(requests, np.array(barred, dtype=bool))

    def rebook(self, snapshot: Snapshot, gpus: Gpus, holdings: Holdings) -> None:
        """Read the accounts anew, after others have been served."""
        one_per_pool = tuple({node.pool: node for node in snapshot.nodes}.values())
        self.ledger = Ledger(replace(snapshot, nodes=one_per_pool, gpus=(), held=(), pending=()))
        self.ledger.pools = _pools(snapshot, gpus)
        self._accounts: dict[tuple[str, tuple[str, ...]], list[tuple[str, Account]]] = {}
        self._least = holdings.least
        self._book(holdings)

    def may_preempt(self, request: Request) -> bool:
        """Whether its project has less important work that may have to give way to it."""
        return self._least.get(request.project, request.priority) < request.priority

    def reclaimable(self) -> set[str]:
        """Projects that hold more than is theirs in some pool."""
        return {name for (name, _), account in self.ledger.accounts.items() if account.excess > EPSILON}

    def barred(self, request: Request, snapshot: Snapshot) -> bool:
        """Whether it may not start now whatever room there is."""
        waits = request.backing_off_until is not None and snapshot.now < request.backing_off_until
        return waits or request.project not in self.ledger.projects

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

    def _count_wants(self, requests: Requests, count: Ints, barred: Sequence[bool]) -> None:
        """Each kind's wants go to the pools it may use: first inside the project's quota, then where room is free."""
        free = {name: pool.gpus for name, pool in self.ledger.pools.items()}
        for account in self.ledger.accounts.values():
            account.wanted = account.allocated
            free[account.pool] -= account.allocated
        for kind in np.argsort([-request.priority for request in requests.examples], kind="stable").tolist():
            options = self.accounts(requests.examples[kind])
            left = float(self._wants[kind] * count[kind])
            if barred[kind] or not options:
                continue
            for own in (True, False):
                for name, account in options:
                    quota = account.quota.quota
                    room = min(free[name], quota - account.wanted) if own and quota >= 0 else free[name]
                    part = min(left, max(0.0, room))
                    account.wanted += part
                    free[name] -= part
                    left -= part
            options[0][1].wanted += left

    def _tiers(self, requests: Requests, barred: Flags) -> Ints:
        examples, kind = requests.examples, requests.kind
        names = {name: i for i, name in enumerate(dict.fromkeys(request.project for request in examples))}
        project = np.array([names[request.project] for request in examples], dtype=np.int64)
        rest = np.array([self._share_left(name) for name in names])
        ordered = requests.order[in_groups(project[kind[requests.order]], len(names))]
        whose = project[kind[ordered]]
        gpus = np.where(barred, 0.0, self._wants)[kind[ordered]]
        reach = np.cumsum(gpus)
        first = begins(whose, len(names))
        self.beyond = np.empty(len(kind), dtype=bool)
        self.beyond[ordered] = reach - reach[first][whose] + gpus[first][whose] > (rest + EPSILON)[whose]
        return self._by_rank(examples, barred, self.beyond * len(examples) + kind)

    def _by_rank(self, examples: Sequence[Request], barred: Flags, look: Ints) -> Ints:
        """(R,) tiers. look: (R,) the kind, plus the number of kinds where the request is beyond its fair share."""
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
        return tier[look]

    def _share_left(self, project: str) -> float:
        """GPUs of its fair share, over all pools, that a project does not have yet."""
        mine = (account for (name, _), account in self.ledger.accounts.items() if name == project)
        return sum(max(0.0, account.fair_share - account.allocated) for account in mine)


def _gangs(examples: Sequence[Request]) -> list[list[int]]:
    """Kinds of the members of each gang: they take their turn together."""
    found: defaultdict[GangKey, list[int]] = defaultdict(list)
    for kind, request in enumerate(examples):
        if key := gang_key(request):
            found[key].append(kind)
    return list(found.values())


def _pools(snapshot: Snapshot, gpus: Gpus) -> dict[str, Pool]:
    """What quota/pools.py says, from columns: GPUs that can serve, less the slices that are not ours."""
    part = (gpus.kind != UNUSABLE).astype(np.float64)
    np.subtract.at(part, *gpus.foreign)
    np.maximum(part, 0.0, out=part)
    per_node = np.bincount(gpus.node[gpus.node >= 0], weights=part[gpus.node >= 0], minlength=len(snapshot.nodes))
    grains = [1.0 / kind.model.slices if kind.mig and kind.model and kind.model.slices else 1.0 for kind in gpus.kinds]
    totals: defaultdict[str, float] = defaultdict(float)
    for node, amount in zip(snapshot.nodes, per_node.tolist(), strict=True):
        totals[node.pool] += amount
    return {name: Pool(name, total, min(grains, default=1.0)) for name, total in sorted(totals.items())}
