"""The answer without a solver: kinds of demand one after the other, each where it leaves the most room.

Works on counts, as the solver does, so it is fast at any size; it stands when the exact solver fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solver.batch.columns.arrays import Ints
from solver.batch.problem import MigGroup, Packing, PlainGroup, Problem, Solution
from solver.gpu_tables.layouts import Layouts, layouts_of


@dataclass(slots=True)
class _Lot:
    """GPUs of one state that have been treated alike so far. chosen: slots, or counts per item."""

    state: int
    count: int
    first: int
    second: int
    chosen: int | tuple[int, ...]


def greedy(problem: Problem, note: str) -> Solution:
    """A legal answer; its bound is all that is asked for."""
    groups = [_lots_of(group) for group in problem.groups]
    demand, options = problem.demand, problem.options
    flow = np.zeros(len(options.kind), dtype=np.int64)
    left = problem.caps.limit.copy()
    by_kind = np.argsort(options.kind, kind="stable")
    begin = np.searchsorted(options.kind[by_kind], np.arange(len(demand.count) + 1))
    for kind in np.lexsort((-demand.weight, demand.tier)).tolist():
        waiting = int(demand.count[kind])
        mine = by_kind[begin[kind] : begin[kind + 1]]
        for option in mine[np.argsort(options.rank[mine], kind="stable")].tolist():
            most = min(waiting, _affordable(problem, option, left))
            served = groups[int(options.group[option])].serve(int(options.item[option]), most)
            _charge(problem, option, served, left)
            flow[option] = served
            waiting -= served
    weight = float((flow * demand.weight[options.kind]).sum())
    bound = float(demand.weight @ demand.count)
    return Solution([lots.packing() for lots in groups], flow, weight, bound, 0.0, note)


def _affordable(problem: Problem, option: int, left: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    caps = problem.caps
    mine = np.flatnonzero(caps.option == option)
    room = [int((left[caps.row[i]] + 1e-9) // caps.part[i]) for i in mine.tolist() if caps.part[i] > 0]
    return max(0, min(room, default=int(problem.demand.count[problem.options.kind[option]])))


def _charge(problem: Problem, option: int, served: int, left: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    for i in np.flatnonzero(problem.caps.option == option).tolist():
        left[problem.caps.row[i]] -= served * problem.caps.part[i]


def _lots_of(group: MigGroup | PlainGroup) -> _GroupLots:
    return _MigLots(group) if isinstance(group, MigGroup) else _PlainLots(group)


class _GroupLots:
    """A group's GPUs in lots."""

    def __init__(self, first: Ints, second: Ints, count: Ints, nothing: int | tuple[int, ...]) -> None:
        states = zip(first.tolist(), second.tolist(), count.tolist(), strict=True)
        self.lots = [_Lot(i, n, a, b, nothing) for i, (a, b, n) in enumerate(states)]

    def serve(self, item: int, most: int) -> int:
        """Serve up to `most` requests with an item; returns how many."""
        served = 0
        while served < most:
            ranked = [(score, i) for i, lot in enumerate(self.lots) if (score := self.score(lot, item)) is not None]
            if not ranked:
                break
            for _, i in sorted(ranked):
                taken = min(self.lots[i].count, most - served)
                if taken:
                    self._split(i, taken, item)
                    served += taken
        return served

    def _split(self, i: int, taken: int, item: int) -> None:
        lot = self.lots[i]
        if taken < lot.count:
            self.lots.append(_Lot(lot.state, lot.count - taken, lot.first, lot.second, lot.chosen))
        self.lots[i] = self.take(_Lot(lot.state, taken, lot.first, lot.second, lot.chosen), item)

    def score(self, lot: _Lot, item: int) -> tuple[int, int] | None:
        raise NotImplementedError

    def take(self, lot: _Lot, item: int) -> _Lot:
        raise NotImplementedError

    def pattern(self, chosen: Sequence[int | tuple[int, ...]]) -> Ints:
        raise NotImplementedError

    def packing(self) -> Packing:
        used = [lot for lot in self.lots if lot.chosen and any(np.atleast_1d(lot.chosen))]
        state, count = [lot.state for lot in used], [lot.count for lot in used]
        return Packing(
            np.array(state, dtype=np.int64), self.pattern([lot.chosen for lot in used]), np.array(count, dtype=np.int64)
        )


class _MigLots(_GroupLots):
    """first: open slots, second: idle ones."""

    def __init__(self, group: MigGroup) -> None:
        super().__init__(group.open, group.idle, group.count, 0)
        self._table: Layouts = layouts_of(group.model)
        self._slots = [
            [i for i, slot in enumerate(self._table.slots) if slot.profile == name] for name in group.profiles
        ]

    def _best(self, lot: _Lot, item: int) -> tuple[int, int, int] | None:
        """Operations, slots that close, and the slot."""
        found = []
        for slot in self._slots[item]:
            if lot.first >> slot & 1:
                excluded = self._table.excludes[slot]
                reused = lot.second >> slot & 1
                work = 0 if reused else 1 + (lot.second & excluded).bit_count()
                found.append((work, (lot.first & excluded).bit_count(), slot))
        return min(found, default=None)

    def score(self, lot: _Lot, item: int) -> tuple[int, int] | None:
        best = self._best(lot, item)
        return best[:2] if best else None

    def take(self, lot: _Lot, item: int) -> _Lot:
        best = self._best(lot, item)
        assert best is not None
        assert isinstance(lot.chosen, int)
        left = ~self._table.excludes[best[2]]
        return _Lot(lot.state, lot.count, lot.first & left, lot.second & left, lot.chosen | 1 << best[2])

    def pattern(self, chosen: Sequence[int | tuple[int, ...]]) -> Ints:
        return np.array(chosen, dtype=np.int64)


class _PlainLots(_GroupLots):
    """first: free millionths, second: free MiB. The tightest fit first."""

    def __init__(self, group: PlainGroup) -> None:
        super().__init__(group.millionths, group.memory_mib, group.count, (0,) * len(group.items))
        self._items = group.items

    def score(self, lot: _Lot, item: int) -> tuple[int, int] | None:
        share, mib = self._items[item]
        return (0, lot.first - share) if share <= lot.first and mib <= lot.second else None

    def take(self, lot: _Lot, item: int) -> _Lot:
        assert isinstance(lot.chosen, tuple)
        share, mib = self._items[item]
        chosen = tuple(n + (i == item) for i, n in enumerate(lot.chosen))
        return _Lot(lot.state, lot.count, lot.first - share, lot.second - mib, chosen)

    def pattern(self, chosen: Sequence[int | tuple[int, ...]]) -> Ints:
        return np.array(chosen, dtype=np.int64).reshape(-1, len(self._items))
