"""Rules for GPUs without MIG, shared by fractions: which node, and which of its GPUs.

    first-fit    the first node with room; the first GPUs on it
    best-fit     the node with the least left over, CPU, memory and GPU added up as parts of the largest
                 node's; the fullest GPUs that have room
    fgd          the node and GPU that add the least fragmentation (fragments.py)
    hami         the node whose GPUs are the fullest, on it the fullest GPUs (binpack)
    hami-spread  the same node, on it the emptiest GPUs: HAMi's default

All filter as Kubernetes does first: CPU, memory, and the GPU model where one is requested.
The smaller score is the better; of equal nodes and GPUs the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from migctl.simulate.baselines.fragments import Fragments, RequestKind
from migctl.simulate.baselines.nodes import Nodes, kind_of
from migctl.simulate.events import Admission
from migctl.simulate.fleet import SimulatedFleet
from solver.model.demand import Request
from solver.model.occupation import MILLIONTHS

Scores = NDArray[np.float64]
FIRST, FULLEST, EMPTIEST = 0, 1, -1
"""Which of a node's GPUs that have room are taken."""


class PlainBaseline:
    """A fleet without MIG under a rule: a score for every node, and which of its GPUs."""

    def __init__(self, fleet: SimulatedFleet, score: Callable[[Nodes, RequestKind], Scores], gpus: int) -> None:
        self._nodes, self._score, self._gpus = Nodes(fleet), score, gpus

    def admit(self, request: Request, now: float) -> Admission | None:
        kind = kind_of(request)
        room = self._nodes.with_room(request, kind)
        if not room.any():
            return None
        row = int(np.argmin(np.where(room, self._score(self._nodes, kind), np.inf)))
        free = self._nodes.gpu[row]
        fitting = np.flatnonzero(free >= kind.need)
        order = np.argsort(self._gpus * free[fitting], kind="stable")
        return Admission(self._nodes.take(request, kind, row, map(int, fitting[order][: kind.devices])))

    def release(self, claim: str) -> None:
        self._nodes.release(claim)


def _nothing(nodes: Nodes, kind: RequestKind) -> Scores:
    return np.zeros(len(nodes.names))


def _left_over(nodes: Nodes, kind: RequestKind) -> Scores:
    """What every node would have left, as parts of the largest one's."""
    gpus = np.maximum(nodes.gpu, 0).sum(axis=1) - kind.devices * kind.need
    left: Scores = gpus / (nodes.size.max() * MILLIONTHS)
    left += (nodes.cpu - kind.cpu) / nodes.most[0] + (nodes.memory - kind.memory) / nodes.most[1]
    return left


def _fullest(nodes: Nodes, kind: RequestKind) -> Scores:
    return -nodes.used()


class Fgd:
    """The node and GPU whose fragmentation grows the least. A node's value is cached until the node changes."""

    def __init__(self, fleet: SimulatedFleet, requested: Iterable[Request]) -> None:
        self._nodes = Nodes(fleet)
        self._fragments = Fragments(kind_of(request) for request in requested)
        self._growth: dict[RequestKind, tuple[Scores, NDArray[np.int64]]] = {}
        self._changed: list[int] = []
        self._seen: dict[RequestKind, int] = {}

    def admit(self, request: Request, now: float) -> Admission | None:
        kind = kind_of(request)
        room = self._nodes.with_room(request, kind)
        if not room.any():
            return None
        growth, gpu = self._known(kind)
        row = int(np.argmin(np.where(room, growth, np.inf)))
        first = [int(gpu[row])] if kind.devices == 1 else np.flatnonzero(self._nodes.gpu[row] >= kind.need)
        self._changed.append(row)
        return Admission(self._nodes.take(request, kind, row, map(int, first[: kind.devices])))

    def release(self, claim: str) -> None:
        self._changed.append(self._nodes.release(claim))

    def _known(self, kind: RequestKind) -> tuple[Scores, NDArray[np.int64]]:
        """By node: how much the kind would add on its best GPU, and which that is; caught up with what has changed."""
        nodes = len(self._nodes.names)
        if kind not in self._growth:
            self._growth[kind] = np.full(nodes, np.inf), np.zeros(nodes, dtype=np.int64)
            stale = np.arange(nodes)
        else:
            stale = np.unique(self._changed[self._seen[kind] :]).astype(np.int64)
        self._seen[kind] = len(self._changed)
        growth, gpu = self._growth[kind]
        if len(stale):
            growth[stale], gpu[stale] = self._look(kind, stale)
        return growth, gpu

    def _look(self, kind: RequestKind, rows: NDArray[np.int64]) -> tuple[Scores, NDArray[np.int64]]:
        cpu, memory, free = (what[rows] for what in (self._nodes.cpu, self._nodes.memory, self._nodes.gpu))
        before = self._fragments.of(cpu, memory, free)
        columns = free.shape[1] if kind.devices == 1 else 1
        after = np.full((len(rows), columns), np.inf)
        for column in range(columns):
            would = self._taken(kind, free, column)
            fits = np.flatnonzero((would >= -1).all(axis=1))
            after[fits, column] = self._fragments.of(cpu[fits] - kind.cpu, memory[fits] - kind.memory, would[fits])
        best = after.argmin(axis=1)
        return after[np.arange(len(rows)), best] - before, best

    @staticmethod
    def _taken(kind: RequestKind, free: NDArray[np.int64], column: int) -> NDArray[np.int64]:
        """What would be free with the GPU of the column taken, or the first that have room; below -1 where none has."""
        would = free.copy()
        if kind.devices == 1:
            would[:, column] = np.where(free[:, column] >= kind.need, free[:, column] - kind.need, -2)
            return would
        has = free >= kind.need
        first = has & (has.cumsum(axis=1) <= kind.devices)
        would[first] -= kind.need
        would[first.sum(axis=1) < kind.devices] = -2
        return would


RULES: Mapping[str, Callable[[SimulatedFleet], PlainBaseline]] = MappingProxyType(
    {
        "first-fit": lambda fleet: PlainBaseline(fleet, _nothing, FIRST),
        "best-fit": lambda fleet: PlainBaseline(fleet, _left_over, FULLEST),
        "hami": lambda fleet: PlainBaseline(fleet, _fullest, FULLEST),
        "hami-spread": lambda fleet: PlainBaseline(fleet, _fullest, EMPTIEST),
    }
)
