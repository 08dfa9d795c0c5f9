"""A snapshot's requests as columns: kinds (equal but for name and age), and the order inside a queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import count
from operator import attrgetter

import numpy as np

from solver.batch.columns.arrays import Ints, in_groups
from solver.model.demand import ContainerDemands, Fraction, Memory, MigProfile, Request


class Requests:
    """kind: (R,) each request's kind; examples: one request per kind; order: positions by priority, age, claim."""

    def __init__(self, pending: Sequence[Request]) -> None:
        self.pending = pending
        numbers: defaultdict[Hashable, int] = defaultdict(count().__next__)
        self.kind: Ints = np.fromiter(map(numbers.__getitem__, _looks(pending)), np.int64, len(pending))
        first = np.flatnonzero(np.diff(np.maximum.accumulate(self.kind), prepend=-1))
        self.examples = [pending[i] for i in first.tolist()]
        self.order = self._by_age()

    def _by_age(self) -> Ints:
        created = np.fromiter(map(attrgetter("created"), self.pending), float, len(self.pending))
        priorities, place = np.unique([-request.priority for request in self.examples], return_inverse=True)
        rank = place[self.kind]
        order = np.argsort(created)
        order = order[in_groups(rank[order], len(priorities))]
        same = (np.diff(created[order]) == 0) & (np.diff(rank[order]) == 0)
        edges = np.flatnonzero(np.diff(same, prepend=False, append=False)).reshape(-1, 2)
        for begin, end in edges.tolist():
            order[begin : end + 1] = sorted(order[begin : end + 1].tolist(), key=lambda i: self.pending[i].claim)
        return order


def _looks(pending: Sequence[Request]) -> Iterator[Hashable]:
    """Of each request all but its name and age."""
    for request in pending:
        demand, selector = request.demand, request.node_selector
        size: Hashable = None
        if type(demand) is MigProfile:
            size = demand.profile
        elif type(demand) is Fraction:
            size = demand.portion
        elif type(demand) is Memory:
            size = demand.mib
        elif type(demand) is ContainerDemands:
            size = demand.parts
        yield (
            type(demand),
            size,
            demand.devices,
            demand.model,
            request.project,
            request.priority,
            request.preemptible,
            request.pools,
            request.excluded,
            request.refusals,
            request.anti_affinity,
            request.cpu_milli,
            request.memory_mib,
            request.gang,
            request.nominated,
            request.backing_off_until,
            frozenset(selector.items()) if selector else None,
        )
