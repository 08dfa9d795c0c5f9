"""From relaxed amounts to whole GPUs: what is certain is handed to states, the rest is left over (leftovers.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solver.batch.columns.arrays import Floats, Ints
from solver.batch.optimum.blocks import PatternTable
from solver.batch.optimum.operations import Relaxed
from solver.batch.optimum.pattern_model import PatternModel
from solver.batch.problem import Problem

ALMOST = 1e-6


@dataclass(frozen=True, slots=True)
class Taken:
    """GPUs of one block by state and pattern, each (X,)."""

    state: Ints
    pattern: Ints
    count: Ints

    def joined(self, other: Taken) -> Taken:
        return Taken(*(np.concatenate([getattr(self, f), getattr(other, f)]) for f in ("state", "pattern", "count")))

    def items(self, block: PatternTable) -> Ints:
        """(I,) items that these patterns give."""
        given: Ints = self.count @ block.patterns[self.pattern]
        return given


NONE = Taken(*(np.empty(0, dtype=np.int64),) * 3)


@dataclass(frozen=True, slots=True)
class PartialSolution:
    """Whole GPUs by block, and requests served by each option: never more than the GPUs give."""

    taken: Sequence[Taken]
    flow: Ints


def rounded_down(model: PatternModel, relaxed: Relaxed) -> PartialSolution:
    """Whole amounts, patterns handed to the states of each class in order, and whole flows."""
    taken = [
        _spread(
            block.count.astype(np.int64), member, columns.row, columns.pattern, np.floor(x + ALMOST).astype(np.int64)
        )
        for block, member, columns, x in zip(
            model.blocks, relaxed.member, relaxed.columns, relaxed.served.x, strict=True
        )
    ]
    chosen, served = (
        np.floor(amount + ALMOST).astype(np.int64) for amount in (relaxed.served.chosen, relaxed.served.served)
    )
    return fitted(model, taken, model.menus.shared_out(chosen, served))


def fitted(model: PatternModel, taken: Sequence[Taken], flow: Ints) -> PartialSolution:
    """These GPUs, with the flow cut down to what they give."""
    over = -spare_items(model, PartialSolution(taken, flow))
    fewer = flow.copy()
    for item in np.flatnonzero(over > 0):
        mine = np.flatnonzero(model.item_of == item)
        before = np.cumsum(flow[mine]) - flow[mine]
        fewer[mine] -= np.clip(over[item] - before, 0, flow[mine])
    return PartialSolution(taken, fewer)


def spare_items(model: PatternModel, draft: PartialSolution) -> Ints:
    """(I,) items that its GPUs give and its flow does not use."""
    given = np.concatenate([t.items(b) for t, b in zip(draft.taken, model.blocks, strict=True)])
    spare: Ints = given - np.bincount(model.item_of, weights=draft.flow, minlength=len(given)).astype(np.int64)
    return spare


def operations(model: PatternModel, draft: PartialSolution) -> int:
    """Creates and destroys that its GPUs cost."""
    return sum(int(b.cost[t.state, t.pattern] @ t.count) for b, t in zip(model.blocks, draft.taken, strict=True))


def _spread(count: Ints, member: Ints, row: Ints, pattern: Ints, amount: Ints) -> Taken:
    """Give each class's amounts to its states, one after the other.

    All GPUs stand in one line, class by class; states and amounts both cut it, and every piece
    between two cuts has one state and at most one pattern.
    """
    states = np.argsort(member, kind="stable")
    state_end = np.cumsum(count[states])
    classes = np.bincount(member, weights=count).astype(np.int64)
    begin = np.concatenate([[0], np.cumsum(classes)])
    order = np.argsort(row, kind="stable")
    reach = np.cumsum(amount[order])
    before = np.concatenate([[0], reach])[np.searchsorted(row[order], row[order], side="left")]
    pattern_end = begin[row[order]] + reach - before
    pattern_begin = pattern_end - amount[order]
    cuts = np.unique(np.concatenate([state_end, pattern_end, pattern_begin, [0]]))
    left, size = cuts[:-1], np.diff(cuts)
    state = states[np.searchsorted(state_end, left, side="right")]
    which = np.searchsorted(pattern_end, left, side="right")
    inside = (
        (which < len(order)) & (pattern_begin[np.minimum(which, len(order) - 1)] <= left) if len(order) else left < 0
    )
    return Taken(state[inside], pattern[order][which[inside]], size[inside])


def tier_weights(problem: Problem, flow: Ints) -> Floats:
    """(T,) weight that the flow serves."""
    demand, options = problem.demand, problem.options
    tiers = int(demand.tier.max(initial=-1)) + 1
    served = flow * demand.weight[options.kind]
    return np.bincount(demand.tier[options.kind], weights=served, minlength=tiers).astype(np.float64)
