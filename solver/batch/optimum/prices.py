"""What items and tiers are worth, and the bound on operations that any such prices prove.

At given prices every GPU may take its best pattern and every request its best item, each by itself:
what that comes to is a lower bound on the operations of every plan that serves the tiers so well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.batch.columns.arrays import Floats
from solver.batch.optimum.blocks import PatternTable, best_filling
from solver.batch.optimum.pattern_model import PatternModel
from solver.batch.problem import PlainGroup
from solver.gpu_tables.layouts import INFEASIBLE


@dataclass(frozen=True, slots=True)
class Prices:
    """item: (I,) operations an item is worth; tier: (T,) operations a unit of a tier's weight is worth."""

    item: Floats
    tier: Floats

    def plus(self, other: Prices, times: float) -> Prices:
        return Prices(self.item + times * other.item, self.tier + times * other.tier)


def reduced_costs(block: PatternTable, prices: Prices) -> Floats:
    """(S, P): operations of a pattern less what its items are worth; large where it cannot be taken."""
    worth = block.patterns @ prices.item[block.offset : block.offset + block.patterns.shape[1]]
    reduced: Floats = block.cost - worth
    reduced[block.cost == INFEASIBLE] = 1e9
    return reduced


def operations_bound(model: PatternModel, prices: Prices, achieved: Floats) -> float:
    """Operations that every plan needs which serves each tier with `achieved` weight or more."""
    tier = prices.tier[: len(achieved)]
    gpus = sum(_best(g, b, prices) for g, b in zip(model.problem.groups, model.blocks, strict=True))
    demand, options = model.problem.demand, model.problem.options
    loss = prices.item[model.item_of] - (tier[demand.tier] * demand.weight)[options.kind]
    best = np.zeros(len(demand.count))
    np.minimum.at(best, options.kind, loss)
    return float(tier @ achieved + gpus + best @ demand.count)


def _best(group: object, block: PatternTable, prices: Prices) -> float:
    if isinstance(group, PlainGroup) and not block.complete:
        sizes = np.array(group.items)
        worth = prices.item[block.offset : block.offset + len(sizes)]
        free = zip(group.millionths.tolist(), group.memory_mib.tolist(), block.count.tolist(), strict=True)
        return -float(sum(best_filling(sizes, worth, share, mib)[0] * count for share, mib, count in free))
    return float(np.dot(reduced_costs(block, prices).min(axis=1), block.count))
