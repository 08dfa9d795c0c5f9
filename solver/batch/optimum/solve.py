"""The door of the optimum: relax, save operations, round, settle, prove."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from solver.batch.columns.arrays import Ints
from solver.batch.optimum.blocks import PatternTable, blocks_of
from solver.batch.optimum.leftovers import Leftover, Settler
from solver.batch.optimum.linear import SolveFailed
from solver.batch.optimum.menus import Menus
from solver.batch.optimum.operations import fewest_operations
from solver.batch.optimum.prices import Prices, operations_bound
from solver.batch.optimum.rounding import NONE, PartialSolution, Taken, rounded_down, tier_weights
from solver.batch.optimum.weight import WeightOptimum, best_weight
from solver.batch.problem import Group, MigGroup, Packing, Problem, Solution
from solver.gpu_tables.layouts import layouts_of

EXACT_GPUS = 40
EXACT_S = 0.5
FIRST_SETTLE_S = 0.05
GOOD_GAP = 1e-4
MOST_RETRIES = 40
RETRY_STEP = 17
GOOD_PROOF = 0.003
DEARER = (0.0, 25.0, 100.0, 400.0)


def solve(problem: Problem, has_time: Callable[[], bool]) -> Solution:
    """The best packing found while `has_time()` says so, and the bounds that prove how good it is."""
    blocks = blocks_of(problem)
    offsets = np.array([block.offset for block in blocks], dtype=np.int64)
    item_of = offsets[problem.options.group] + problem.options.item
    menus = Menus(problem)
    if sum(int(block.count.sum()) for block in blocks) <= EXACT_GPUS and all(block.complete for block in blocks):
        draft, proven = _exactly(problem, menus, blocks, item_of)
        if proven:
            weight, spent = _account(problem, blocks, draft)
            return _answer(problem, blocks, draft, weight, float(spent))
    best = best_weight(problem, menus, blocks, item_of)
    relaxed = fewest_operations(problem, menus, blocks, item_of, best, has_time)
    settler = Settler(problem, menus, blocks, item_of, relaxed.met[-1])
    draft = settler.settle(rounded_down(blocks, menus, item_of, relaxed), FIRST_SETTLE_S)
    for offset in range(0, MOST_RETRIES * RETRY_STEP, RETRY_STEP):
        achieved = tier_weights(problem, draft.flow)
        if best.bound(achieved) - achieved.sum() <= GOOD_GAP * achieved.sum() or not has_time():
            break
        draft = settler.retry(draft, offset)
    achieved = tier_weights(problem, draft.flow)
    proof = _proof(problem, blocks, item_of, _tried(best, relaxed.met), draft)
    return _answer(problem, blocks, draft, best.bound(achieved), proof)


def _exactly(
    problem: Problem, menus: Menus, blocks: Sequence[PatternTable], item_of: Ints
) -> tuple[PartialSolution, bool]:
    """A small cluster solved whole; whether the answer is proven best."""
    nothing = PartialSolution([NONE] * len(blocks), np.zeros(len(problem.options.kind), dtype=np.int64))
    try:
        return Leftover(problem, menus, blocks, item_of, nothing).in_order(EXACT_S)
    except SolveFailed:
        return nothing, False


def _account(problem: Problem, blocks: Sequence[PatternTable], draft: PartialSolution) -> tuple[float, int]:
    """Weight served and operations spent."""
    spent = sum(int(b.cost[t.state, t.pattern] @ t.count) for b, t in zip(blocks, draft.taken, strict=True))
    return float(tier_weights(problem, draft.flow).sum()), spent


def _answer(
    problem: Problem, blocks: Sequence[PatternTable], draft: PartialSolution, bound: float, operations_bound: float
) -> Solution:
    return Solution(
        packings=[_packing(g, b, t) for g, b, t in zip(problem.groups, blocks, draft.taken, strict=True)],
        flow=draft.flow,
        weight=_account(problem, blocks, draft)[0],
        weight_bound=bound,
        operations_bound=operations_bound,
    )


def _tried(best: WeightOptimum, met: Sequence[Prices]) -> Iterator[Prices]:
    """Prices that may prove much: the last ones met, alone or with weight priced higher as well."""
    dearer = Prices(best.item.sum(axis=0), 1.0 + best.price.sum(axis=0))
    return (prices.plus(dearer, times) for times in DEARER for prices in met[:-3:-1])


def _proof(
    problem: Problem, blocks: Sequence[PatternTable], item_of: Ints, tried: Iterable[Prices], draft: PartialSolution
) -> float:
    """The best bound on operations that one of these prices proves, or the first that comes near; a whole number."""
    achieved, (_, spent) = tier_weights(problem, draft.flow), _account(problem, blocks, draft)
    proven = 0.0
    for prices in tried:
        proven = max(proven, operations_bound(problem, blocks, item_of, prices, achieved))
        if spent - proven <= GOOD_PROOF * spent:
            break
    return float(math.ceil(proven - 1e-6))


def _packing(group: Group, block: PatternTable, taken: Taken) -> Packing:
    if not isinstance(group, MigGroup):
        return Packing(taken.state, block.patterns[taken.pattern], taken.count)
    table = layouts_of(group.model)
    layout = table.cheapest(group.open[taken.state], group.idle[taken.state], block.origin[taken.pattern])
    return Packing(taken.state, layout, taken.count)
