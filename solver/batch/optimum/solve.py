"""The door of the optimum: relax, save operations, round, settle, prove."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from solver.batch.optimum.blocks import PatternTable
from solver.batch.optimum.leftover_program import LeftoverProgram
from solver.batch.optimum.leftovers import Settler
from solver.batch.optimum.linear import SolveFailed
from solver.batch.optimum.operations import fewest_operations
from solver.batch.optimum.pattern_model import PatternModel
from solver.batch.optimum.prices import Prices, operations_bound
from solver.batch.optimum.rounding import NONE, PartialSolution, Taken, operations, rounded_down, tier_weights
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
    model = PatternModel.of(problem)
    if model.gpus <= EXACT_GPUS and model.complete:
        draft, proven = _exactly(model)
        if proven:
            return _answer(model, draft, tier_weights(problem, draft.flow).sum(), operations(model, draft))
    best, model = best_weight(model)
    relaxed = fewest_operations(model, best, has_time)
    settler = Settler(model, relaxed.met[-1])
    draft = settler.settle(rounded_down(model, relaxed), FIRST_SETTLE_S)
    for offset in range(0, MOST_RETRIES * RETRY_STEP, RETRY_STEP):
        achieved = tier_weights(problem, draft.flow)
        if best.bound(achieved) - achieved.sum() <= GOOD_GAP * achieved.sum() or not has_time():
            break
        draft = settler.retry(draft, offset)
    bound = best.bound(tier_weights(problem, draft.flow))
    return _answer(model, draft, bound, _proof(model, _tried(best, relaxed.met), draft))


def _exactly(model: PatternModel) -> tuple[PartialSolution, bool]:
    """A small cluster solved whole; whether the answer is proven best."""
    nothing = PartialSolution([NONE] * len(model.blocks), np.zeros(len(model.item_of), dtype=np.int64))
    try:
        return LeftoverProgram(model, nothing).in_order(EXACT_S)
    except SolveFailed:
        return nothing, False


def _answer(model: PatternModel, draft: PartialSolution, bound: float, operations_bound: float) -> Solution:
    groups = zip(model.problem.groups, model.blocks, draft.taken, strict=True)
    return Solution(
        packings=[_packing(group, block, taken) for group, block, taken in groups],
        flow=draft.flow,
        weight=float(tier_weights(model.problem, draft.flow).sum()),
        weight_bound=float(bound),
        operations_bound=float(operations_bound),
    )


def _tried(best: WeightOptimum, met: Sequence[Prices]) -> Iterator[Prices]:
    """Prices that may prove much: the last ones met, alone or with weight priced higher as well."""
    dearer = Prices(best.item.sum(axis=0), 1.0 + best.price.sum(axis=0))
    return (prices.plus(dearer, times) for times in DEARER for prices in met[:-3:-1])


def _proof(model: PatternModel, tried: Iterable[Prices], draft: PartialSolution) -> int:
    """The best bound on operations that one of these prices proves, or the first that comes near."""
    achieved, spent = tier_weights(model.problem, draft.flow), operations(model, draft)
    proven = 0.0
    for prices in tried:
        proven = max(proven, operations_bound(model, prices, achieved))
        if spent - proven <= GOOD_PROOF * spent:
            break
    return math.ceil(proven - 1e-6)


def _packing(group: Group, block: PatternTable, taken: Taken) -> Packing:
    if not isinstance(group, MigGroup):
        return Packing(taken.state, block.patterns[taken.pattern], taken.count)
    table = layouts_of(group.model)
    layout = table.cheapest(group.open[taken.state], group.idle[taken.state], block.origin[taken.pattern])
    return Packing(taken.state, layout, taken.count)
