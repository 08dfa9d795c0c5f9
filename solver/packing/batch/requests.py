"""A snapshot's requests as columns: kinds (equal but for name and age), and the order inside a queue."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.model.demand import Ask, Fraction, Memory, MigProfile, Request, WholeGpus

Ints = NDArray[np.int64]

_ASK: dict[type[Any], Callable[[Any], Hashable]] = {
    WholeGpus: attrgetter("devices"),
    Fraction: attrgetter("portion", "devices"),
    Memory: attrgetter("mib", "devices"),
    MigProfile: attrgetter("profile", "devices"),
}
_REST = attrgetter(
    "project",
    "priority",
    "preemptible",
    "pools",
    "excluded",
    "anti_affinity",
    "cpu_milli",
    "memory_mib",
    "gang",
    "nominated",
    "backing_off_until",
)


class Requests:
    """kind: (R,) each request's kind; examples: one request per kind; order: positions by priority, age, claim."""

    def __init__(self, pending: Sequence[Request]) -> None:
        self.pending = pending
        numbers: dict[Hashable, int] = {}
        kind: list[int] = []
        for request in pending:
            ask: Ask = request.ask
            selector = frozenset(request.node_selector.items()) if request.node_selector else None
            key = (_REST(request), type(ask), _ASK[type(ask)](ask), selector)
            kind.append(numbers.setdefault(key, len(numbers)))
        self.kind: Ints = np.array(kind, dtype=np.int64)
        _, first = np.unique(self.kind, return_index=True)
        self.examples = [pending[i] for i in first.tolist()]
        self.order = self._by_age()

    def _by_age(self) -> Ints:
        created = np.fromiter(map(attrgetter("created"), self.pending), float, len(self.pending))
        priority = np.array([request.priority for request in self.examples], dtype=np.int64)[self.kind]
        order: Ints = np.lexsort((created, -priority))
        same = (np.diff(created[order]) == 0) & (np.diff(priority[order]) == 0)
        ends = np.flatnonzero(~np.concatenate([same, [False]]))
        begin = 0
        for end in ends.tolist() if same.any() else ():
            if end > begin:
                order[begin : end + 1] = sorted(order[begin : end + 1].tolist(), key=lambda i: self.pending[i].claim)
            begin = end + 1
        return order
