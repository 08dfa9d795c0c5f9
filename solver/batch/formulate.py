"""From columns to the counts that are solved, and back to which requests and GPUs each count stands for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from solver.batch.columns.arrays import Ints, distinct, in_groups
from solver.batch.columns.gpu_columns import UNUSABLE, GpuColumns, GpuKind
from solver.batch.columns.request_columns import Requests
from solver.batch.fairness import REFUSED, Fairness
from solver.batch.problem import Caps, Demand, Group, MigGroup, Options, PlainGroup, Problem
from solver.gpu_tables.choices import FIRST_RANKS, choices
from solver.gpu_tables.tables import ShareOption, table
from solver.model.cluster import Backing, Node
from solver.model.demand import Request
from solver.model.occupation import MILLIONTHS, millionths
from solver.model.snapshot import Policy
from solver.quota.pools import allows

POOL_RANK = 20


@dataclass(slots=True)
class Site:
    """GPUs of one kind on nodes that are alike for all requests at hand. rows: in order of state, then of the snapshot.

    state: (rows,) position among the group's states; items: what a share of each item is
    """

    kind: GpuKind
    pool: str
    node: Node
    rows: Ints
    state: Ints
    items: dict[Hashable, int] = field(default_factory=dict)
    shares: list[ShareOption] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Formulation:
    """cell: (R,) the kind of demand each request belongs to, REFUSED for those left out; sites: one per group."""

    problem: Problem
    sites: Sequence[Site]
    cell: Ints


class Formulator:
    """Builds the problem of a batch of single-device requests."""

    def __init__(self, gpus: GpuColumns, requests: Requests, fairness: Fairness, policy: Policy) -> None:
        self._gpus, self._requests, self._fairness, self._policy = gpus, requests, fairness, policy
        self._options: list[tuple[int, int, int, int]] = []
        self._caps: dict[tuple[str, str, bool], int] = {}
        self._bound: dict[tuple[str, tuple[str, ...], bool], bool] = {}
        self._limits: list[float] = []
        self._charges: list[tuple[int, int, float]] = []

    def build(self, wanted: Ints, seconds: float) -> Formulation:
        """The problem of the requests at positions `wanted`."""
        kinds = np.flatnonzero(np.bincount(self._requests.kind[wanted])).tolist()
        self._sites, groups = self._group([self._requests.examples[kind] for kind in kinds])
        cell_of, demand = self._demand(wanted, kinds)
        groups = [self._with_items(site, group) for site, group in zip(self._sites, groups, strict=True)]
        used = [i for i, site in enumerate(self._sites) if site.shares]
        place = {group: i for i, group in enumerate(used)}
        columns = np.array([(k, place[g], i, r) for k, g, i, r in self._options], dtype=np.int64).reshape(-1, 4).T
        charges = np.array(self._charges, dtype=np.float64).reshape(-1, 3).T
        problem = Problem(
            [groups[i] for i in used],
            demand,
            Options(*columns),
            seconds,
            Caps(charges[0].astype(np.int64), charges[1].astype(np.int64), charges[2], np.array(self._limits)),
        )
        return Formulation(problem, [self._sites[i] for i in used], cell_of)

    def _group(self, examples: Sequence[Request]) -> tuple[list[Site], list[Group]]:
        """GPUs by kind and by what the requests at hand can tell nodes apart by."""
        gpus = self._gpus
        node_class, nodes = self._node_classes(examples)
        usable = np.flatnonzero(gpus.kind != UNUSABLE)
        key = node_class[gpus.node[usable]] * len(gpus.kinds) + gpus.kind[usable]
        below = len(nodes) * len(gpus.kinds)
        by_key, ends = usable[in_groups(key, below)], np.cumsum(np.bincount(key, minlength=below))
        sites, groups = [], []
        for number in np.flatnonzero(np.diff(ends, prepend=0)).tolist():
            rows = by_key[ends[number - 1] if number else 0 : ends[number]]
            node, kind = nodes[number // len(gpus.kinds)], gpus.kinds[number % len(gpus.kinds)]
            first, second = (gpus.open, gpus.idle) if kind.mig else (gpus.millionths, gpus.memory_mib)
            rows = rows[np.lexsort((second[rows], first[rows]))]
            change = np.flatnonzero(np.diff(first[rows], prepend=-2) | np.diff(second[rows], prepend=-2))
            state = np.zeros(len(rows), dtype=np.int64)
            state[change] = 1
            states = (first[rows[change]], second[rows[change]], np.diff(change, append=len(rows)))
            sites.append(Site(kind, node.pool, node, rows, np.cumsum(state) - 1))
            groups.append(_mig(kind, *states) if kind.mig else _plain(kind, *states))
        return sites, groups

    def _node_classes(self, examples: Sequence[Request]) -> tuple[Ints, list[Node]]:
        """(N,) the class of each node, and one node per class: alike in pool and to every selector and exclusion."""
        selectors = list({frozenset(r.node_selector.items()): None for r in examples if r.node_selector})
        excluded = frozenset().union(*(r.excluded for r in examples))
        first: dict[Hashable, Node] = {}
        numbers: defaultdict[Hashable, int] = defaultdict(count().__next__)
        classes = list[int]()
        for node in self._gpus.nodes:
            key: Hashable = node.pool
            if selectors:
                key = (key, *[all(node.labels.get(k) == v for k, v in s) for s in selectors])
            if excluded and node.name in excluded:
                key = (key, node.name)
            first.setdefault(key, node)
            classes.append(numbers[key])
        return np.array(classes, dtype=np.int64), list(first.values())

    def _demand(self, wanted: Ints, kinds: Sequence[int]) -> tuple[Ints, Demand]:
        """Requests of one tier with the same options and the same caps are one kind of demand, a cell."""
        tier = self._fairness.tier
        looks: dict[Hashable, int] = {}
        look_of = np.zeros(len(self._requests.examples), dtype=np.int64)
        chosen: list[tuple[Request, bool]] = []
        for kind in kinds:
            request = self._requests.examples[kind]
            capped = self._capped(request)
            key = (request.demand, request.pools, frozenset(request.node_selector.items()), request.excluded)
            look_of[kind] = looks.setdefault(
                (*key, request.project, request.preemptible) if capped else key, len(looks)
            )
            if look_of[kind] == len(chosen):
                chosen.append((request, capped))
        pairs = tier[wanted] * len(looks) + look_of[self._requests.kind[wanted]]
        cells, cell, count = distinct(pairs, (int(tier.max(initial=0)) + 1) * len(looks))
        cell_of = np.full(len(tier), REFUSED, dtype=np.int64)
        cell_of[wanted] = cell
        found = [self._look(request, capped) for request, capped in chosen]
        weight = np.array(
            [min((option.weight for option in found[c % len(looks)]), default=0.0) for c in cells.tolist()]
        )
        for number, code in enumerate(cells.tolist()):
            for option in found[code % len(looks)]:
                self._charges += [(row, len(self._options), option.part) for row in option.caps]
                self._options.append((number, option.site, option.item, option.rank))
        return cell_of, Demand(weight, count.astype(np.int64), cells // len(looks))

    def _capped(self, request: Request) -> bool:
        """Whether a quota or limit can bind for it."""
        key = (request.project, request.pools, request.preemptible)
        if key not in self._bound:
            self._bound[key] = any(
                level.quota.limit >= 0 or (not request.preemptible and level.quota.quota >= 0)
                for _, account in self._fairness.accounts(request)
                for level in account.chain
            )
        return self._bound[key]

    def _look(self, request: Request, capped: bool) -> list[_Choice]:
        """Every way to serve such a request, on every site it may use."""
        found = []
        for number, site in enumerate(self._sites):
            if not allows(site.node, request):
                continue
            pool = request.pools.index(site.pool) * POOL_RANK if request.pools else 0
            for rank, option in _site_options(site, request, self._policy):
                item = _item(site, option)
                caps = self._cap_rows(request, site.pool) if capped else ()
                weight = _weight(site.kind, option) if rank in FIRST_RANKS else np.inf
                found.append(_Choice(number, item, rank + pool, weight, option.portion, caps))
        return found

    def _cap_rows(self, request: Request, pool: str) -> tuple[int, ...]:
        account = self._fairness.ledger.account(request.project, pool)
        rows = []
        for level in account.chain if account else ():
            for firm, applies in (
                (False, level.quota.limit >= 0),
                (True, not request.preemptible and level.quota.quota >= 0),
            ):
                if applies:
                    left = level.headroom(True) if not firm else level.quota.quota - level.non_preemptible
                    key = (f"{level.parent is None}/{level.name}", pool, firm)
                    if key not in self._caps:
                        self._caps[key] = len(self._limits)
                        self._limits.append(max(0.0, left))
                    rows.append(self._caps[key])
        return tuple(rows)

    def _with_items(self, site: Site, group: Group) -> Group:
        if isinstance(group, MigGroup):
            names = tuple(str(name) for name in site.items)
            return MigGroup(group.model, names, group.open, group.idle, group.count)
        sizes = tuple((millionths(o.portion), o.memory_mib) for o in site.shares)
        return PlainGroup(sizes, group.millionths, group.memory_mib, group.count)


@dataclass(frozen=True, slots=True)
class _Choice:
    site: int
    item: int
    rank: int
    weight: float
    part: float
    caps: tuple[int, ...]


def _mig(kind: GpuKind, open_: Ints, idle: Ints, count: Ints) -> MigGroup:
    assert kind.model is not None
    return MigGroup(kind.model, (), open_, idle, count)


def _plain(kind: GpuKind, used: Ints, memory_mib: Ints, count: Ints) -> PlainGroup:
    return PlainGroup((), np.maximum(MILLIONTHS - used, 0), np.maximum(kind.memory_mib - memory_mib, 0), count)


def _site_options(site: Site, request: Request, policy: Policy) -> Iterable[tuple[int, ShareOption]]:
    kind, rule = site.kind, policy.memory_rule(site.pool)
    known = table(kind.model) if kind.mig and kind.model else None
    return choices(kind.name, kind.mig, kind.memory_mib, known, request.demand, rule)


def _item(site: Site, option: ShareOption) -> int:
    """The number of the item that a site gives for an option; equal shares are one item."""
    key = (
        option.profile.name if option.profile else (option.backing is Backing.WHOLE, option.portion, option.memory_mib)
    )
    if key not in site.items:
        site.items[key] = len(site.items)
        site.shares.append(option)
    return site.items[key]


def _weight(kind: GpuKind, option: ShareOption) -> float:
    if option.profile is None or kind.model is None:
        return option.portion
    return table(kind.model).weight(option.profile)
