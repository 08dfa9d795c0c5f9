"""The integer program over GPUs that have no pattern yet, or over all of a small cluster.

Variables: how many GPUs of each leftover state take each pattern (`_take`), and how often each choice serves each
kind (menus.py). Constraints: a method each, "Ensures that ...". Objectives: `together`, `in_order`.
The order of variables and rows decides between equal optima.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.batch.columns.arrays import Floats, Ints, Marks
from solver.batch.optimum.blocks import PatternTable
from solver.batch.optimum.linear import INFINITY, Program
from solver.batch.optimum.pattern_model import PatternModel
from solver.batch.optimum.prices import Prices, reduced_costs
from solver.batch.optimum.rounding import PartialSolution, Taken, spare_items
from solver.gpu_tables.layouts import INFEASIBLE

CHOICES, MOST_COLUMNS = 5, 100
WEIGHT_SCALE = 1_000_000
CAP_SCALE = 1_000_000
WEIGHT_PER_OPERATION = 1000.0
TIER_SCALE = 20.0
LIKING = 0.0001


@dataclass(frozen=True, slots=True)
class LeftoverColumns:
    """What leftover GPUs of one block may take: state, pattern, variable and operations, each (X,)."""

    state: Ints
    pattern: Ints
    variable: Ints
    cost: Floats


class LeftoverProgram:
    """GPUs without a pattern and requests that a draft does not serve.

    prices: where given, only the patterns that are worth most are offered; the more, the fewer states are left over.
    """

    def __init__(self, model: PatternModel, draft: PartialSolution, prices: Prices | None = None) -> None:
        demand, options = model.problem.demand, model.problem.options
        served = np.bincount(options.kind, weights=draft.flow, minlength=len(demand.count)).astype(np.int64)
        self._model, self._draft = model, draft
        self._waiting: Ints = demand.count - served
        self._program = Program()
        spare = spare_items(model, draft)
        self._items = self._program.add_rows(-spare, INFINITY)
        left = [_left(taken, block) for taken, block in zip(draft.taken, model.blocks, strict=True)]
        choices = max(CHOICES, MOST_COLUMNS // max(1, sum(map(np.count_nonzero, left))))
        self._columns = [self._take(*entry, prices, choices) for entry in zip(left, model.blocks, strict=True)]
        self._menus = model.menus.part(self._possible(spare)[model.item_of[model.menus.choice]])
        self._chosen, self._served = self._menus.serve(self._program, self._items, model.item_of, self._waiting)
        self._keep_caps()

    def _take(self, left: Ints, block: PatternTable, prices: Prices | None, choices: int) -> LeftoverColumns:
        """The variables of one block, under its constraints."""
        states = np.flatnonzero(left)
        feasible = block.cost[states] < INFEASIBLE
        if prices is not None:
            reduced = reduced_costs(block.part(states, block.count[states]), prices)
            ranks = np.argsort(np.argsort(reduced, axis=1, kind="stable"), axis=1)
            feasible &= ranks < choices
        row, pattern = np.nonzero(feasible)
        x = self._program.add_variables(np.zeros(len(row)))
        self._limit_gpus(x, row, left[states])
        self._give_items(x, pattern, block)
        return LeftoverColumns(states[row], pattern, x, block.cost[states[row], pattern].astype(np.float64))

    def _limit_gpus(self, x: Ints, row: Ints, left: Ints) -> None:
        """Ensures that every leftover state takes no more patterns than it has GPUs."""
        limits = self._program.add_rows(-INFINITY, left.astype(np.float64))
        self._program.add_terms(limits[row], x, 1.0)

    def _give_items(self, x: Ints, pattern: Ints, block: PatternTable) -> None:
        """Ensures that no more items are used than the draft spares and these patterns give."""
        which, item = np.nonzero(block.patterns[pattern])
        self._program.add_terms(self._items[block.offset + item], x[which], block.patterns[pattern[which], item])

    def _keep_caps(self) -> None:
        """Ensures that quotas and limits are kept, by what the draft leaves of them."""
        caps = self._model.problem.caps
        used = np.bincount(caps.row, weights=caps.part * self._draft.flow[caps.option], minlength=len(caps.limit))
        left = np.round((caps.limit - used) * CAP_SCALE)
        rows = self._program.add_rows(-INFINITY, np.maximum(left, 0.0))
        mine, capped = self._menus.capped(self._chosen)
        self._program.add_terms(rows[caps.row[mine]], capped, np.round(caps.part[mine] * CAP_SCALE))

    def _keep_tier(self, mine: Marks, worth: Floats, value: float) -> None:
        """Ensures that a tier is served as well as it was."""
        floor = self._program.add_rows([value], INFINITY)
        self._program.add_terms(floor[0], self._served[mine], worth[mine])

    def together(self, seconds: float) -> PartialSolution:
        """Weight, tier before tier, and operations in one objective. Raises SolveFailed."""
        if not self._waiting.any():
            return self._draft
        demand = self._model.problem.demand
        before = TIER_SCALE ** (int(demand.tier.max()) - demand.tier)
        self._program.set_cost(self._costs(np.round(demand.weight * before * WEIGHT_PER_OPERATION, 2)))
        return self._read(self._program.solve_integer(seconds, maximize=True).x)

    def in_order(self, seconds: float) -> tuple[PartialSolution, bool]:
        """Each tier's weight, then operations, one after the other; whether all are optimal. Raises SolveFailed."""
        if not self._waiting.any():
            return self._draft, True
        demand, proven = self._model.problem.demand, True
        worth = np.round(demand.weight * WEIGHT_SCALE)
        for tier in np.unique(demand.tier[self._waiting > 0]):
            mine = demand.tier == tier
            cost = np.zeros(self._program.variables)
            cost[self._served[mine]] = worth[mine]
            self._program.set_cost(cost)
            best = self._program.solve_integer(seconds, maximize=True)
            proven &= best.proven
            self._keep_tier(mine, worth, best.value)
        self._program.set_cost(self._costs(np.zeros(len(worth))))
        best = self._program.solve_integer(seconds, maximize=True)
        return self._read(best.x), proven and best.proven

    def _costs(self, worth: Floats) -> Floats:
        """Per variable: what serving each kind is worth, less operations and what is liked less."""
        cost = np.zeros(self._program.variables)
        for columns in self._columns:
            cost[columns.variable] = -columns.cost
        cost[self._chosen] = self._model.problem.options.rank[self._menus.choice] * -LIKING
        cost[self._served] = worth
        return cost

    def _possible(self, spare: Ints) -> Marks:
        """(I,) the items that there may be."""
        possible: Marks = spare > 0
        for block, columns in zip(self._model.blocks, self._columns, strict=True):
            possible[block.offset : block.offset + block.items] |= block.patterns[columns.pattern].any(axis=0)
        return possible

    def _read(self, solution: Floats) -> PartialSolution:
        found = solution.astype(np.int64)
        taken = []
        for old, columns in zip(self._draft.taken, self._columns, strict=True):
            count = found[columns.variable]
            used = count > 0
            taken.append(old.joined(Taken(columns.state[used], columns.pattern[used], count[used])))
        flow = self._menus.shared_out(found[self._chosen], found[self._served])
        return PartialSolution(taken, self._draft.flow + flow)


def _left(taken: Taken, block: PatternTable) -> Ints:
    """(S,) GPUs of each state without a pattern."""
    used = np.bincount(taken.state, weights=taken.count, minlength=len(block.count))
    left: Ints = np.maximum(block.count - used, 0).astype(np.int64)
    return left
