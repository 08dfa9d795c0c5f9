"""The admitted weight: tier after tier, the most that a linear relaxation can serve, and what each item is worth.

States that can take the same patterns are one class here, whatever is idle on them, so the program
stays small at any number of GPUs. Its optimum is the bound of every plan's weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from solver.batch.columns.arrays import Floats, Marks
from solver.batch.optimum.blocks import PatternTable, best_filling, plain_block
from solver.batch.optimum.master import Columns, Master
from solver.batch.optimum.pattern_model import PatternModel
from solver.batch.problem import Group, MigGroup, PlainGroup
from solver.gpu_tables.layouts import INFEASIBLE

FLOOR_SLACK = 1e-9
FACE_SLACK = 1e-6
LATER, LEAST_FACTOR = 0.5, 1e-3
"""What a tier's weight counts in the program of all tiers, relative to the tier before it, and at least."""
MOST_ROUNDS = 30
MOST_MIXED = 100
"""Among more patterns than this, finding the mixes costs more than they do; MIG models have up to 44 maximal ones."""


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

    def face(self, block: PatternTable) -> Marks:
        """(S, P): the patterns that plans of the best weight can use; every other one costs some tier weight."""
        first, member = block.weight_classes
        feasible = block.cost[first] < INFEASIBLE
        for worth in self.item:
            value = np.where(feasible, block.patterns @ worth[block.offset : block.offset + block.items], -1.0)
            feasible &= value >= value.max(axis=1)[:, None] - FACE_SLACK
        return feasible[member]


def best_weight(model: PatternModel) -> tuple[WeightOptimum, PatternModel]:
    """The optimum of the relaxation, and the model with the patterns of groups without MIG that it needs."""
    found = _tiers(model)
    for _ in range(MOST_ROUNDS):
        groups = zip(model.problem.groups, model.blocks, strict=True)
        blocks = [_completed(group, block, found) for group, block in groups]
        if all(new is old for new, old in zip(blocks, model.blocks, strict=True)):
            break
        model = replace(model, blocks=blocks)
        found = _tiers(model)
    return found, model


def _tiers(model: PatternModel) -> WeightOptimum:
    """Tier after tier: its most weight, and the least that later tiers must leave it."""
    master = Master(model, [_classes(block) for block in model.blocks])
    served, price, worth = (np.zeros((master.tiers, *width)) for width in ((), (master.tiers,), (model.items,)))
    demanded, whole = _whole(master)
    for tier, alone in enumerate(np.eye(master.tiers)):
        if tier < whole:
            served[tier] = demanded[tier]
        else:
            found = master.serve(alone)
            served[tier], worth[tier], price[tier, :tier] = found.value, found.duals.item, found.duals.tier
        master.floor(tier, served[tier] * (1 - FLOOR_SLACK))
    return WeightOptimum(served, worth, price)


def _whole(master: Master) -> tuple[Floats, int]:
    """(T,) the weight that each tier demands, and how many of the first tiers one program serves wholly, together.

    To such a tier no item is worth anything. The others' programs begin where this one ends.
    """
    demand, tiers = master.demand, master.tiers
    demanded: Floats = np.bincount(demand.tier, weights=demand.weight * demand.count, minlength=tiers).astype(
        np.float64
    )
    if tiers < 2:
        return demanded, 0
    found = master.serve(np.maximum(LATER ** np.arange(tiers), LEAST_FACTOR))
    served = np.bincount(demand.tier, weights=demand.weight * found.served, minlength=tiers)
    missing = np.flatnonzero(served < demanded * (1 - FLOOR_SLACK))
    return demanded, int(missing[0]) if len(missing) else tiers


def _classes(block: PatternTable) -> Columns:
    """Maximal patterns that are no mix of others, for each class of states that can take the same ones."""
    first, member = block.weight_classes
    count = np.bincount(member, weights=block.count, minlength=len(first)).astype(np.float64)
    row, pattern = np.nonzero(block.maximal(block.cost[first] < INFEASIBLE))
    listed = np.split(block.patterns[pattern], np.searchsorted(row, np.arange(1, len(first))))
    kept = np.concatenate([_corners(patterns.tobytes(), block.items) for patterns in listed])
    return Columns(block.offset, block.patterns, count, row[kept], pattern[kept], np.zeros(int(kept.sum())))


@lru_cache(maxsize=10_000)
def _corners(patterns: bytes, items: int) -> Marks:
    """Which of the patterns (rows of so many items) no even mix of two others equals or exceeds; all, if they are many.

    A relaxation takes the two by halves instead, and its optimum stays the same.
    """
    table = np.frombuffer(patterns, dtype=np.int64).reshape(-1, items)
    if len(table) > MOST_MIXED:
        return np.ones(len(table), dtype=bool)
    mixed = np.all(2 * table[:, None, None, :] <= table[:, None, :] + table[None, :, :], axis=3)
    one = np.arange(len(table))
    mixed[one, one, :] = mixed[one, :, one] = False
    corners: Marks = ~np.any(mixed, axis=(1, 2))
    return corners


def _completed(group: Group, block: PatternTable, found: WeightOptimum) -> PatternTable:
    """The block with the patterns that the relaxation would rather have; the same one where there are none."""
    if isinstance(group, MigGroup) or block.complete:
        return block
    extra = _missing(group, block, found)
    return plain_block(group, block.offset, np.vstack([block.patterns, np.array(extra)]), False) if extra else block


def _missing(group: PlainGroup, block: PatternTable, found: WeightOptimum) -> list[list[int]]:
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
