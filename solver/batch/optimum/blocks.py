"""Groups as tables: the patterns a group's GPUs can take and what each costs in each state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from solver.batch.columns.arrays import Floats, Ints, Marks
from solver.batch.problem import MigGroup, PlainGroup, Problem
from solver.gpu_tables.layouts import INFEASIBLE, layouts_of

MOST_PATTERNS = 600


def distinct_rows(table: NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Positions of the distinct rows, and for every row the distinct one it equals; 25 times faster than numpy's."""
    factors = np.random.default_rng(1).integers(1, 2**62, table.shape[1], dtype=np.int64)
    _, first, which = np.unique(table.astype(np.int64) @ factors, return_index=True, return_inverse=True)
    if not np.array_equal(table[first][which], table):
        _, first, which = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return first, which.ravel()


@dataclass(frozen=True)
class PatternTable:
    """One group. Items are numbered over all groups: this one's begin at `offset`.

    patterns  (P, I) how many of each item; the empty one is among them
    cost      (S, P) creates and destroys; INFEASIBLE where a state cannot take the pattern
    shape     (S,) states of one shape can take the same patterns
    count     (S,) GPUs in each state
    origin    (P,) the multiset a pattern is, for MIG groups
    complete  whether `patterns` are all there are
    """

    offset: int
    patterns: Ints
    cost: NDArray[np.uint8]
    shape: Ints
    count: Ints | Floats
    origin: Ints
    complete: bool = True

    @property
    def items(self) -> int:
        return len(self.patterns[0])

    @cached_property
    def weight_classes(self) -> tuple[Ints, Ints]:
        """A state of each class of those that can take the same patterns, and the class of every state."""
        _, shaped, shape = np.unique(self.shape, return_index=True, return_inverse=True)
        first, which = distinct_rows((self.cost[shaped] < INFEASIBLE).astype(np.uint8))
        return shaped[first], which[shape.ravel()]

    def part(self, rows: Ints, count: Ints | Floats) -> PatternTable:
        """Some of its states, with other counts."""
        return replace(self, cost=self.cost[rows], shape=self.shape[rows], count=count)

    def maximal(self, feasible: Marks) -> Marks:
        """(n, P): the feasible patterns that no other feasible one contains."""
        contained = feasible.astype(np.float32) @ _containing(self.patterns.tobytes(), self.items) > 0
        maximal: Marks = feasible & ~contained
        return maximal


@lru_cache
def _containing(patterns: bytes, items: int) -> NDArray[np.float32]:
    """(P, P): 1 where the row's pattern contains the column's and is another."""
    table = np.frombuffer(patterns, dtype=np.int64).reshape(-1, items)
    more: Marks = np.all(table[:, None, :] >= table[None, :, :], axis=2)
    contains: NDArray[np.float32] = (more & ~np.eye(len(table), dtype=bool)).astype(np.float32)
    return contains


def blocks_of(problem: Problem) -> list[PatternTable]:
    """One block per group, in order."""
    costs = _mig_costs([group for group in problem.groups if isinstance(group, MigGroup)])
    blocks: list[PatternTable] = []
    offset = 0
    for group in problem.groups:
        if isinstance(group, MigGroup):
            blocks.append(_mig(group, offset, costs.pop(0)))
        else:
            blocks.append(plain_block(group, offset, *fillings(group.items, *_largest(group))))
        offset += len(group.profiles) if isinstance(group, MigGroup) else len(group.items)
    return blocks


def _mig_costs(groups: list[MigGroup]) -> list[NDArray[np.uint8]]:
    """Per group (S, M): operations from each state to each multiset. Equal states of all groups are worked out once."""
    found: list[NDArray[np.uint8]] = [np.empty(0, dtype=np.uint8)] * len(groups)
    for model, profiles in {(group.model, group.profiles) for group in groups}:
        table = layouts_of(model)
        mine = [i for i, group in enumerate(groups) if group.model == model and group.profiles == profiles]
        every = np.stack([np.concatenate([getattr(groups[i], name) for i in mine]) for name in ("open", "idle")])
        states, which = np.unique(every, axis=1, return_inverse=True)
        wanted = np.array([name in profiles for name in table.profiles], dtype=bool)
        cost = table.costs(states[0], states[1], wanted)[which.ravel()]
        for i, part in zip(mine, np.split(cost, np.cumsum([len(groups[i].open) for i in mine])[:-1]), strict=True):
            found[i] = part
    return found


def _mig(group: MigGroup, offset: int, cost: NDArray[np.uint8]) -> PatternTable:
    table = layouts_of(group.model)
    used = np.flatnonzero((cost < INFEASIBLE).any(axis=0))
    columns = [table.profiles.index(name) for name in group.profiles]
    _, shape = np.unique(group.open, return_inverse=True)
    patterns = table.multisets[used][:, columns]
    return PatternTable(offset, patterns, np.ascontiguousarray(cost[:, used]), shape.ravel(), group.count, used)


def plain_block(group: PlainGroup, offset: int, patterns: Ints, complete: bool) -> PatternTable:
    """The block of a group without MIG for these patterns."""
    used = patterns @ np.array(group.items, dtype=np.int64).reshape(-1, 2)
    fits = (used[None, :, 0] <= group.millionths[:, None]) & (used[None, :, 1] <= group.memory_mib[:, None])
    cost = np.where(fits, 0, INFEASIBLE).astype(np.uint8)
    return PatternTable(offset, patterns, cost, np.arange(len(cost)), group.count, np.arange(len(patterns)), complete)


def _largest(group: PlainGroup) -> tuple[int, int]:
    return int(group.millionths.max(initial=0)), int(group.memory_mib.max(initial=0))


@lru_cache
def fillings(slices: tuple[tuple[int, int], ...], millionths: int, memory_mib: int) -> tuple[Ints, bool]:
    """(P, I) ways to share one GPU among slices of these sizes, and whether that is all of them.

    Where there are too many, only those of at most two sizes are listed.
    """
    sizes = np.array(slices, dtype=np.int64).reshape(-1, 2)
    for kinds in (len(sizes), 2, 1):
        found = _fillings(sizes, millionths, memory_mib, kinds)
        if len(found) <= MOST_PATTERNS:
            break
    return np.array(found, dtype=np.int64).reshape(-1, len(sizes)), kinds == len(sizes)


def _fillings(sizes: Ints, millionths: int, memory_mib: int, kinds: int) -> list[list[int]]:
    """Those of at most `kinds` sizes; the search ends when there are more than MOST_PATTERNS."""
    found: list[list[int]] = []

    def extend(item: int, free: int, mib: int, chosen: list[int], kinds: int) -> None:
        if len(found) > MOST_PATTERNS:
            return
        if item == len(sizes):
            found.append(chosen)
            return
        for number in range(_most(sizes[item], free, mib) + 1 if kinds else 1):
            left = (free - number * int(sizes[item, 0]), mib - number * int(sizes[item, 1]))
            extend(item + 1, *left, [*chosen, number], kinds - (number > 0))

    extend(0, millionths, memory_mib, [], kinds)
    return found


def _most(size: Ints, millionths: int, memory_mib: int) -> int:
    """How many slices of a size fit."""
    return min(millionths // int(size[0]), memory_mib // max(1, int(size[1])))


def best_filling(sizes: Ints, worth: Floats, millionths: int, memory_mib: int) -> tuple[float, list[int]]:
    """The most valuable way to share what is free of one GPU (branch and bound over the best worth per size)."""
    order = sorted((i for i in range(len(sizes)) if worth[i] > 0), key=lambda i: -worth[i] / sizes[i, 0])
    best: tuple[float, dict[int, int]] = (0.0, {})

    def extend(rank: int, free: int, mib: int, value: float, chosen: dict[int, int]) -> None:
        nonlocal best
        if value > best[0]:
            best = (value, chosen)
        if rank == len(order):
            return
        item = order[rank]
        if value + free * float(worth[item]) / int(sizes[item, 0]) <= best[0] + 1e-9:
            return
        for number in range(_most(sizes[item], free, mib), -1, -1):
            left = (free - number * int(sizes[item, 0]), mib - number * int(sizes[item, 1]))
            extend(rank + 1, *left, value + number * float(worth[item]), {**chosen, item: number})

    extend(0, millionths, memory_mib, 0.0, {})
    return best[0], [best[1].get(i, 0) for i in range(len(sizes))]
