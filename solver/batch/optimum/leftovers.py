"""GPUs that rounding left over, or all of a small cluster, as an integer program.

GPUs      every leftover state takes no more patterns than it has GPUs
items     what is served beyond the draft comes from these patterns and from what the draft spares
requests  no kind is served more often than it waits
caps      quotas and limits are kept
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solver.batch.columns.arrays import Floats, Ints, Marks
from solver.batch.optimum.blocks import PatternTable
from solver.batch.optimum.linear import INFINITY, Program, SolveFailed
from solver.batch.optimum.menus import Menus
from solver.batch.optimum.prices import Prices, reduced_costs
from solver.batch.optimum.rounding import PartialSolution, Taken, fitted, tier_weights
from solver.batch.problem import Problem
from solver.gpu_tables.layouts import INFEASIBLE

CHOICES, MOST_COLUMNS = 5, 100
RETRIED = 8
SETTLE_S = 0.05
WEIGHT_SCALE = 1_000_000
CAP_SCALE = 1_000_000
WEIGHT_PER_OPERATION = 1000.0
TIER_SCALE = 20.0
LIKING = 0.0001


class Settler:
    """Improves drafts by small integer programs over GPUs without a pattern and requests not served yet."""

    def __init__(
        self, problem: Problem, menus: Menus, blocks: Sequence[PatternTable], item_of: Ints, prices: Prices
    ) -> None:
        self._problem, self._menus, self._blocks, self._item_of = problem, menus, blocks, item_of
        self._prices = prices

    def settle(self, draft: PartialSolution, seconds: float = SETTLE_S) -> PartialSolution:
        """Give the GPUs that are left over the patterns that serve most, and serve with them and with what is spare."""
        try:
            leftover = Leftover(self._problem, self._menus, self._blocks, self._item_of, draft, self._prices)
            return leftover.together(seconds)
        except SolveFailed:
            return draft

    def retry(self, draft: PartialSolution, offset: int) -> PartialSolution:
        """The better of the draft and what it becomes when a few of its GPUs may choose again."""
        freed = fitted(_released(draft.taken, RETRIED, offset), self._blocks, self._item_of, draft.flow)
        return max(draft, self.settle(freed), key=self.merit)

    def merit(self, draft: PartialSolution) -> tuple[float, ...]:
        """Comparable: the weight of each tier in order, then fewest operations."""
        weights = tier_weights(self._problem, draft.flow)
        spent = sum(int(b.cost[t.state, t.pattern] @ t.count) for b, t in zip(self._blocks, draft.taken, strict=True))
        return (*np.round(weights, 6).tolist(), -float(spent))


def _released(taken: Sequence[Taken], gpus: int, offset: int) -> list[Taken]:
    """The same without some GPUs, evenly picked from the offset on."""
    stride = max(1, sum(int(part.count.sum()) for part in taken) // gpus)
    freed, before = [], offset % stride
    for part in taken:
        reach = before + np.cumsum(part.count)
        freed.append(Taken(part.state, part.pattern, part.count - (reach // stride - (reach - part.count) // stride)))
        before = int(reach[-1]) if len(reach) else before
    return freed


class Leftover:
    """GPUs without a pattern and requests that a draft does not serve.

    prices: where given, only the patterns that are worth most are offered; the more, the fewer states are left over.
    """

    def __init__(
        self,
        problem: Problem,
        menus: Menus,
        blocks: Sequence[PatternTable],
        item_of: Ints,
        draft: PartialSolution,
        prices: Prices | None = None,
    ) -> None:
        self._problem, self._draft = problem, draft
        self._program = Program()
        demand, options = problem.demand, problem.options
        served = np.bincount(options.kind, weights=draft.flow, minlength=len(demand.count)).astype(np.int64)
        self._waiting: Ints = demand.count - served
        given = np.concatenate([t.items(b) for t, b in zip(draft.taken, blocks, strict=True)])
        spare = given - np.bincount(item_of, weights=draft.flow, minlength=len(given)).astype(np.int64)
        self._items = self._program.add_rows(-spare, INFINITY)
        left = [self._left(t, b) for t, b in zip(draft.taken, blocks, strict=True)]
        self._choices = max(CHOICES, MOST_COLUMNS // max(1, sum(map(np.count_nonzero, left))))
        self._columns = [self._offer(n, b, prices) for n, b in zip(left, blocks, strict=True)]
        self._menus = menus.part(self._possible(spare, blocks)[item_of[menus.choice]])
        self._chosen, self._served = self._menus.serve(self._program, self._items, item_of, self._waiting)
        self._keep_caps()

    @staticmethod
    def _left(taken: Taken, block: PatternTable) -> Ints:
        """(S,) GPUs of each state without a pattern."""
        used = np.bincount(taken.state, weights=taken.count, minlength=len(block.count))
        left: Ints = np.maximum(block.count - used, 0).astype(np.int64)
        return left

    def _possible(self, spare: Ints, blocks: Sequence[PatternTable]) -> Marks:
        """(I,) the items that there may be."""
        possible: Marks = spare > 0
        for block, (_, pattern, _, _) in zip(blocks, self._columns, strict=True):
            possible[block.offset : block.offset + block.items] |= block.patterns[pattern].any(axis=0)
        return possible

    def _offer(self, left: Ints, block: PatternTable, prices: Prices | None) -> tuple[Ints, Ints, Ints, Floats]:
        """Leftover states and their patterns: state, pattern, variable and cost, each (X,)."""
        states = np.flatnonzero(left)
        feasible = block.cost[states] < INFEASIBLE
        if prices is not None:
            reduced = reduced_costs(block.part(states, block.count[states]), prices)
            ranks = np.argsort(np.argsort(reduced, axis=1, kind="stable"), axis=1)
            feasible &= ranks < self._choices
        row, pattern = np.nonzero(feasible)
        x = self._program.add_variables(np.zeros(len(row)))
        limits = self._program.add_rows(-INFINITY, left[states].astype(np.float64))
        self._program.add_terms(limits[row], x, 1.0)
        which, item = np.nonzero(block.patterns[pattern])
        self._program.add_terms(self._items[block.offset + item], x[which], block.patterns[pattern[which], item])
        return states[row], pattern, x, block.cost[states[row], pattern].astype(np.float64)

    def _keep_caps(self) -> None:
        """Ensures that quotas and limits are kept, by what the draft leaves of them."""
        caps = self._problem.caps
        used = np.bincount(caps.row, weights=caps.part * self._draft.flow[caps.option], minlength=len(caps.limit))
        left = np.round((caps.limit - used) * CAP_SCALE)
        rows = self._program.add_rows(-INFINITY, np.maximum(left, 0.0))
        mine, capped = self._menus.capped(self._chosen)
        self._program.add_terms(rows[caps.row[mine]], capped, np.round(caps.part[mine] * CAP_SCALE))

    def together(self, seconds: float) -> PartialSolution:
        """Weight, tier before tier, and operations in one objective. Raises SolveFailed."""
        if not self._waiting.any():
            return self._draft
        demand = self._problem.demand
        before = TIER_SCALE ** (int(demand.tier.max()) - demand.tier)
        self._program.set_cost(self._costs(np.round(demand.weight * before * WEIGHT_PER_OPERATION, 2)))
        return self._read(self._program.solve_integer(seconds, maximize=True).x)

    def in_order(self, seconds: float) -> tuple[PartialSolution, bool]:
        """Each tier's weight, then operations, one after the other; whether all are optimal. Raises SolveFailed."""
        if not self._waiting.any():
            return self._draft, True
        demand, proven = self._problem.demand, True
        worth = np.round(demand.weight * WEIGHT_SCALE)
        for tier in np.unique(demand.tier[self._waiting > 0]):
            mine = demand.tier == tier
            cost = np.zeros(self._program.variables)
            cost[self._served[mine]] = worth[mine]
            self._program.set_cost(cost)
            best = self._program.solve_integer(seconds, maximize=True)
            proven &= best.proven
            floor = self._program.add_rows([best.value], INFINITY)
            self._program.add_terms(floor[0], self._served[mine], worth[mine])
        self._program.set_cost(self._costs(np.zeros(len(worth))))
        best = self._program.solve_integer(seconds, maximize=True)
        return self._read(best.x), proven and best.proven

    def _costs(self, worth: Floats) -> Floats:
        """Per variable: what serving each kind is worth, less operations and what is liked less."""
        cost = np.zeros(self._program.variables)
        for _, _, x, operations in self._columns:
            cost[x] = -operations
        cost[self._chosen] = self._problem.options.rank[self._menus.choice] * -LIKING
        cost[self._served] = worth
        return cost

    def _read(self, solution: Floats) -> PartialSolution:
        found = solution.astype(np.int64)
        taken = [
            old.joined(Taken(state[found[x] > 0], pattern[found[x] > 0], found[x][found[x] > 0]))
            for old, (state, pattern, x, _) in zip(self._draft.taken, self._columns, strict=True)
        ]
        return PartialSolution(
            taken, self._draft.flow + self._menus.shared_out(found[self._chosen], found[self._served])
        )
