"""The master program: GPUs take patterns, patterns give items, items serve requests.

GPUs      every class of GPUs takes no more patterns than it has GPUs
items     no more items are used than the chosen patterns give
requests  no kind is served more often than it is asked for
caps      quotas and limits are kept
floors    each tier is served at least so well (a shortfall costs `penalty`, so there is always an answer)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solver.batch.columns.arrays import Floats, Ints
from solver.batch.optimum.linear import INFINITY, Program
from solver.batch.optimum.pattern_model import PatternModel


@dataclass(frozen=True, slots=True)
class Columns:
    """Patterns that classes of one block may take: class, pattern and cost, each (X,); count: (C,) GPUs per class.

    complete: every GPU must take a pattern (the empty one is listed where it is wanted).
    """

    offset: int
    patterns: Ints
    count: Floats
    row: Ints
    pattern: Ints
    cost: Floats
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Duals:
    """What an item, and a unit of each tier's weight, is worth, in the units of the objective."""

    item: Floats
    tier: Floats


@dataclass(frozen=True, slots=True)
class Served:
    """An answer of the master.

    x                per block's columns
    chosen, served   what each choice serves and each kind gets (menus.py)
    short            shortfall of each floor
    """

    value: float
    x: list[Floats]
    chosen: Floats
    served: Floats
    duals: Duals
    short: Floats


class Master:
    """One program: variables and constraints at its making, then an objective and its solution, as often as asked for.

    Variables: how often each column is taken (x), and how often each choice serves each kind (menus.py).
    Constraints: a method each, "Ensures that ...". Objectives: `serve` maximises weight, `save` minimises operations.
    """

    def __init__(self, model: PatternModel, columns: Sequence[Columns]) -> None:
        self.columns, self.demand = columns, model.problem.demand
        self.program = Program()
        self.tiers = int(self.demand.tier.max(initial=-1)) + 1
        self._rank = model.problem.options.rank[model.menus.choice]
        self._x = [self.program.add_variables(np.zeros(len(c.row))) for c in columns]
        self._limit_gpus()
        self._items = self.program.add_rows(np.zeros(model.items), INFINITY)
        self._give_items()
        self._chosen, self._served = model.menus.serve(self.program, self._items, model.item_of, self.demand.count)
        self._keep_caps(model)
        self._floors: list[Ints] = []
        self._short: list[tuple[Ints, float]] = []

    def _limit_gpus(self) -> None:
        """Ensures that every class of GPUs takes no more patterns than it has GPUs."""
        for c, x in zip(self.columns, self._x, strict=True):
            rows = self.program.add_rows(c.count if c.complete else -INFINITY, c.count)
            self.program.add_terms(rows[c.row], x, 1.0)

    def _give_items(self) -> None:
        """Ensures that no more items are used than the chosen patterns give."""
        for c, x in zip(self.columns, self._x, strict=True):
            counts = c.patterns[c.pattern]
            which, item = np.nonzero(counts)
            self.program.add_terms(self._items[c.offset + item], x[which], counts[which, item])

    def _keep_caps(self, model: PatternModel) -> None:
        """Ensures that quotas and limits are kept."""
        caps = model.problem.caps
        rows = self.program.add_rows(-INFINITY, caps.limit)
        mine, capped = model.menus.capped(self._chosen)
        self.program.add_terms(rows[caps.row[mine]], capped, caps.part[mine])

    def floor(self, tier: int, weight: float, penalty: float | None = None) -> None:
        """Ensures that a tier is served at least so well; with a penalty, at its price per missing unit."""
        mine = self.demand.tier == tier
        row = self.program.add_rows([weight], INFINITY)
        self.program.add_terms(row[0], self._served[mine], self.demand.weight[mine])
        if penalty is not None:
            short = self.program.add_variables([penalty])
            self.program.add_terms(row, short, 1.0)
            self._short.append((short, penalty))
        self._floors.append(row)

    def serve(self, factors: Floats) -> Served:
        """The most weight, each tier's times its factor. factors: (T,)."""
        cost = np.zeros(self.program.variables)
        cost[self._served] = self.demand.weight * factors[self.demand.tier]
        self.program.set_cost(cost)
        return self._solve(maximize=True)

    def save(self, liking: float) -> Served:
        """The fewest operations; a choice of rank r costs r x `liking`."""
        cost = np.zeros(self.program.variables)
        for c, x in zip(self.columns, self._x, strict=True):
            cost[x] = c.cost
        cost[self._chosen] = self._rank * liking
        for short, penalty in self._short:
            cost[short] = penalty
        self.program.set_cost(cost)
        return self._solve(maximize=False)

    def _solve(self, *, maximize: bool) -> Served:
        found = self.program.solve(maximize=maximize)
        floors = np.array([found.duals[row[0]] for row in self._floors])
        return Served(
            found.value,
            [found.x[x] for x in self._x],
            found.x[self._chosen],
            found.x[self._served],
            Duals(np.abs(found.duals[self._items]), np.abs(floors)),
            np.array([found.x[short[0]] for short, _ in self._short]),
        )
