"""Fewest creates and destroys at the best weight: column generation over states with what is idle on them.

Here states differ by what is idle, so there are many. Three observations keep it fast: prices learnt
from a sample of the states are nearly right for all; at such prices most states have few patterns
worth taking, and states with the same ones are one class again; and an answer need not be optimal,
since any prices prove a bound (prices.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from solver.batch.columns.arrays import Floats, Ints, Marks
from solver.batch.optimum.blocks import PatternTable, distinct_rows
from solver.batch.optimum.master import Columns, Master, Served
from solver.batch.optimum.pattern_model import PatternModel
from solver.batch.optimum.prices import Prices, operations_bound, reduced_costs
from solver.batch.optimum.weight import WeightOptimum
from solver.gpu_tables.layouts import INFEASIBLE

SAMPLE = 400
MOST_COLUMNS = 6000
TAKEN = 0.01
"""A sampled state takes a pattern for so many of its GPUs at least."""
HELPS = 0.01
"""A pattern that is not listed has to be so many operations better than those that are."""
LIKING = 0.0001
SAME = LIKING / 10
"""Patterns are equally good within so many operations: less than what is liked better makes of difference."""
NEAR = 0.3
"""And nearly as good within so many."""
FLOOR_SLACK = 1e-7
SHORT = 5e-5
PENALTY = 1000.0
GOOD_GAP = 0.003
MOST_ROUNDS = 8
SEED_PRICES = (10.0, 1000.0)

HasTime = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The relaxed answer. member: per block (S,) the class each state is in; met: all prices seen on the way."""

    columns: Sequence[Columns]
    member: Sequence[Ints]
    served: Served
    met: Sequence[Prices]


def fewest_operations(model: PatternModel, best: WeightOptimum, has_time: HasTime) -> Relaxed:
    """Serve every tier as well as can be, with few operations."""
    kinds, kind_of = zip(*(_kinds(_on_face(block, best)) for block in model.blocks), strict=True)
    model = replace(model, blocks=kinds)
    near, met = [kind.cost < INFEASIBLE for kind in kinds], [Prices(best.item.sum(axis=0), np.ones(len(best.served)))]
    if sum(int(mark.sum()) for mark in near) > MOST_COLUMNS:
        near, met = _learn(model, best)
    for _ in range(MOST_ROUNDS):
        columns, member, base = _classes(kinds, near)
        served = _solve(model, columns, best.served * (1 - FLOOR_SLACK), met[-1])
        met.append(Prices(served.duals.item, served.duals.tier))
        bound = max(operations_bound(model, prices, best.served) for prices in met)
        operations = base + sum(float(c.cost @ x) for c, x in zip(columns, served.x, strict=True))
        good = operations - bound <= GOOD_GAP * max(bound, 1.0) or not has_time()
        more = [mark | _ties(kind, met[-1]) for mark, kind in zip(near, kinds, strict=True)]
        whole = bool(served.short.sum() <= SHORT * best.served.sum())
        if (good and whole) or all(np.array_equal(*pair) for pair in zip(near, more, strict=True)):
            break
        near = more
    return Relaxed(columns, [m[k] for m, k in zip(member, kind_of, strict=True)], served, met)


def _on_face(block: PatternTable, best: WeightOptimum) -> PatternTable:
    """The block without the patterns that plans of the best weight cannot use."""
    return replace(block, cost=np.where(best.face(block), block.cost, INFEASIBLE).astype(np.uint8))


def _kinds(block: PatternTable) -> tuple[PatternTable, Ints]:
    """States that pay the same for every pattern are one; with the kind of each state."""
    first, which = distinct_rows(block.cost)
    return block.part(first, np.bincount(which, weights=block.count, minlength=len(first))), which


def _sample(block: PatternTable, total: int) -> tuple[Ints, Floats]:
    """Some states and how many GPUs each stands for: of every class of equal weight some, evenly over its GPUs."""
    _, weight_class = block.weight_classes
    order = np.argsort(weight_class, kind="stable")
    size = np.bincount(weight_class, weights=block.count)
    points = np.maximum(1, np.round(size * SAMPLE / max(total, 1)).astype(np.int64))
    begin = np.cumsum(size) - size
    which = np.repeat(np.arange(len(size)), points)
    within = np.arange(len(which)) - np.repeat(np.cumsum(points) - points, points)
    at = begin[which] + (within + 0.5) * size[which] / points[which]
    hits = np.searchsorted(np.cumsum(block.count[order]), at)
    rows, back = np.unique(order[hits], return_inverse=True)
    return rows, np.bincount(back.ravel(), weights=size[which] / points[which]).astype(np.float64)


def _learn(model: PatternModel, best: WeightOptimum) -> tuple[list[Marks], list[Prices]]:
    """The fewest operations on a sample: per block the patterns it takes, and its prices."""
    sample = [_sample(block, model.gpus) for block in model.blocks]
    parts = [block.part(rows, count) for block, (rows, count) in zip(model.blocks, sample, strict=True)]
    prices = Prices(best.item.sum(axis=0), np.ones(len(best.served)))
    marks = [_seeds(part, prices) for part in parts]
    while True:
        columns = [_listed(part, mark) for part, mark in zip(parts, marks, strict=True)]
        served = _solve(model, columns, best.served * (1 - FLOOR_SLACK), prices)
        prices = Prices(served.duals.item, served.duals.tier)
        missing = [_ties(part, prices) & ~mark for part, mark in zip(parts, marks, strict=True)]
        if not any(_helps(*entry, prices) for entry in zip(parts, marks, missing, strict=True)):
            break
        marks = [mark | more for mark, more in zip(marks, missing, strict=True)]
    taken = zip(model.blocks, sample, columns, served.x, strict=True)
    return [_near(block, rows, listed, x, prices) for block, (rows, _), listed, x in taken], [prices]


def _near(block: PatternTable, rows: Ints, columns: Columns, x: Floats, prices: Prices) -> Marks:
    """Patterns worth a look: the best ones, and where they are nearly as good what sampled states of equal weight take.

    Sampled states keep the maximal ones as well, to make good what others miss.
    """
    reduced = reduced_costs(block, prices)
    least = reduced.min(axis=1)[:, None]
    first, weight_class = block.weight_classes
    used = x > TAKEN
    row, pattern = rows[columns.row[used]], columns.pattern[used]
    taken = np.zeros((len(first), len(block.patterns)), dtype=bool)
    taken[weight_class[row], pattern] = True
    marks: Marks = (reduced <= least + SAME) | taken[weight_class] & (reduced <= least + NEAR)
    marks[rows] |= block.maximal(block.cost[rows] < INFEASIBLE)
    marks[row, pattern] = True
    return marks


def _helps(block: PatternTable, marks: Marks, missing: Marks, prices: Prices) -> bool:
    """Whether some state would rather take a pattern that is not listed for it."""
    reduced = reduced_costs(block, prices)
    listed = np.where(marks, reduced, np.inf).min(axis=1, initial=np.inf)
    return bool((np.where(missing, reduced, np.inf).min(axis=1, initial=np.inf) < listed - HELPS).any())


def _seeds(block: PatternTable, prices: Prices) -> Marks:
    """Patterns to begin with: doing nothing, the maximal ones, and the best at several scales of the worth."""
    feasible = block.cost < INFEASIBLE
    marks = block.maximal(feasible)
    marks[:, ~block.patterns.any(axis=1)] = True
    for scale in SEED_PRICES:
        best = reduced_costs(block, Prices(prices.item * scale, prices.tier)).argmin(axis=1)
        marks[np.arange(len(marks)), best] = True
    return marks & feasible


def _ties(block: PatternTable, prices: Prices) -> Marks:
    """The patterns that are best at these prices."""
    reduced = reduced_costs(block, prices)
    ties: Marks = reduced <= reduced.min(axis=1)[:, None] + SAME
    return ties


def _listed(block: PatternTable, marks: Marks) -> Columns:
    """Every state its own class, with its marked patterns."""
    row, pattern = np.nonzero(marks)
    cost = block.cost[row, pattern].astype(np.float64)
    return Columns(block.offset, block.patterns, block.count.astype(np.float64), row, pattern, cost)


def _classes(blocks: Sequence[PatternTable], near: Sequence[Marks]) -> tuple[list[Columns], list[Ints], float]:
    """States with the same marked patterns at the same differences of cost are one class; `base` is what all share."""
    columns, member, base = [], [], 0.0
    for block, marks in zip(blocks, near, strict=True):
        least = np.where(marks, block.cost, INFEASIBLE).min(axis=1)
        extra = np.where(marks, block.cost - least[:, None], INFEASIBLE).astype(np.uint8)
        first, which = distinct_rows(extra)
        count = np.bincount(which, weights=block.count, minlength=len(first)).astype(np.float64)
        row, pattern = np.nonzero(extra[first] < INFEASIBLE)
        cost = extra[first[row], pattern].astype(np.float64)
        columns.append(Columns(block.offset, block.patterns, count, row, pattern, cost, complete=True))
        member.append(which)
        base += float(least.astype(np.float64) @ block.count)
    return columns, member, base


def _solve(model: PatternModel, columns: Sequence[Columns], floors: Floats, prices: Prices) -> Served:
    """The program: the columns' operations, every tier at its floor; what a floor lacks costs more than its price."""
    master = Master(model, columns)
    for tier, weight in enumerate(floors):
        master.floor(tier, float(weight), penalty=max(PENALTY, 2.0 * float(prices.tier[tier])))
    return master.save(LIKING)
