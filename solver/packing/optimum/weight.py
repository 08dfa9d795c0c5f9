"""The admitted weight: tier after tier, the most that a linear relaxation can serve, and what each item is worth.

States that can take the same patterns are one class here, whatever is idle on them, so the program
stays small at any number of GPUs. Its optimum is the bound of every plan's weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.packing.layouts import INFEASIBLE
from solver.packing.optimum.blocks import Block, Marks, best_filling, distinct_rows, plain_block
from solver.packing.optimum.linear import Floats, Ints
from solver.packing.optimum.master import Columns, Master
from solver.packing.problem import PlainGroup, Problem

FLOOR_SLACK = 1e-9
FACE_SLACK = 1e-6
MOST_ROUNDS = 30


@dataclass(frozen=True, slots=True)
class WeightOptimum:
    """served: (T,) weight per tier in the relaxation.

    item   (T, I) what each item is worth to each tier, once the tiers before it have all they can have
    price  (T, T) how much of tier t could be gained per unit of tier u that is given up (u before t)
    """

    served: Floats
    item: Floats
    price: Floats

    def bound(self, achieved: Floats) -> float:
        """Weight that no plan exceeds which serves each tier as well as the tiers before it were served here."""
        lost = np.maximum(0.0, self.served - achieved)
        return float(self.served.sum() + (self.price @ lost).sum())

    def face(self, block: Block) -> Marks:
        """(S, P): the patterns that plans of the best weight can use; every other one costs some tier weight."""
        first, member = weight_classes(block)
        feasible = block.cost[first] < INFEASIBLE
        for worth in self.item:
            value = np.where(feasible, block.patterns @ worth[block.offset : block.offset + block.items], -1.0)
            feasible &= value >= value.max(axis=1)[:, None] - FACE_SLACK
        return feasible[member]


def best_weight(problem: Problem, blocks: list[Block], item_of: Ints) -> WeightOptimum:
    """Solve the relaxation; patterns of groups without MIG that it lacks are added to `blocks` until none helps."""
    for _ in range(MOST_ROUNDS):
        found = _tiers(problem, blocks, item_of)
        if not _improve(problem, blocks, found):
            break
    return found


def _tiers(problem: Problem, blocks: list[Block], item_of: Ints) -> WeightOptimum:
    columns = [_classes(block) for block in blocks]
    items = sum(block.items for block in blocks)
    master = Master(problem, columns, item_of, items)
    served, price, worth = np.zeros(master.tiers), np.zeros((master.tiers,) * 2), np.zeros((master.tiers, items))
    for tier in range(master.tiers):
        found = master.serve(tier)
        served[tier], worth[tier], price[tier, :tier] = found.value, found.duals.item, found.duals.tier
        master.floor(tier, found.value * (1 - FLOOR_SLACK))
    return WeightOptimum(served, worth, price)


def _classes(block: Block) -> Columns:
    """Maximal patterns, for each class of states that can take the same ones."""
    first, member = weight_classes(block)
    count = np.bincount(member, weights=block.count, minlength=len(first)).astype(np.float64)
    row, pattern = np.nonzero(block.maximal(block.cost[first] < INFEASIBLE))
    return Columns(block.offset, block.patterns, count, row, pattern, np.zeros(len(row)))


def weight_classes(block: Block) -> tuple[Ints, Ints]:
    """A state of each class of those that can take the same patterns, and the class of every state."""
    _, shaped, shape = np.unique(block.shape, return_index=True, return_inverse=True)
    first, which = distinct_rows((block.cost[shaped] < INFEASIBLE).astype(np.uint8))
    return shaped[first], which[shape.ravel()]


def _improve(problem: Problem, blocks: list[Block], found: WeightOptimum) -> bool:
    """Add the patterns that the relaxation would rather have; True where there were any."""
    better = False
    for i, (group, block) in enumerate(zip(problem.groups, blocks, strict=True)):
        if isinstance(group, PlainGroup) and not block.complete:
            extra = _missing(group, block, found)
            if extra:
                blocks[i] = plain_block(group, block.offset, np.vstack([block.patterns, np.array(extra)]), False)
                better = True
    return better


def _missing(group: PlainGroup, block: Block, found: WeightOptimum) -> list[list[int]]:
    sizes = np.array(group.items, dtype=np.int64).reshape(-1, 2)
    extra: dict[tuple[int, ...], None] = {}
    for every in found.item:
        worth = every[block.offset : block.offset + len(sizes)]
        known = np.where(block.cost < INFEASIBLE, block.patterns @ worth, 0.0).max(axis=1)
        for state, (share, mib) in enumerate(zip(group.millionths.tolist(), group.memory_mib.tolist(), strict=True)):
            value, pattern = best_filling(sizes, worth, share, mib)
            if value > known[state] + FACE_SLACK:
                extra[tuple(pattern)] = None
    return [list(pattern) for pattern in extra]
