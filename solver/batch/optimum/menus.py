"""Kinds of demand that have the same options, as one.

Requests that are alike but for their tier can be served by the same items. A program counts what serves
all of them (a *choice* of their *menu*) and how much of each kind is served; which choice serves which
kind is told apart afterwards.
"""

from __future__ import annotations

from collections.abc import Hashable
from copy import copy

import numpy as np

from solver.batch.columns.arrays import Ints, Marks
from solver.batch.optimum.linear import INFINITY, Program
from solver.batch.problem import Problem

NONE = -1


class Menus:
    """The menus of a problem. of_kind: (K,) the menu of each kind; choice: (C,) one option for each choice.

    Kinds with capped options have menus of their own: a cap says whose use of an item it counts.
    """

    def __init__(self, problem: Problem) -> None:
        options, demand = problem.options, problem.demand
        order = np.lexsort((options.rank, options.item, options.group, options.kind))
        looks = np.stack([options.group, options.item, options.rank], axis=1)[order]
        ends = np.searchsorted(options.kind[order], np.arange(len(demand.count)), side="right")
        self._options = np.split(order, ends)[:-1]
        capped = set(options.kind[problem.caps.option].tolist())
        numbers: dict[Hashable, int] = {}
        of_kind, chosen = [], [np.empty(0, dtype=np.int64)]
        for kind, (mine, look) in enumerate(zip(self._options, np.split(looks, ends)[:-1], strict=True)):
            key = kind if kind in capped else look.tobytes()
            if key not in numbers:
                numbers[key] = len(numbers)
                chosen.append(mine)
            of_kind.append(numbers[key])
        self.of_kind: Ints = np.array(of_kind, dtype=np.int64)
        self.choice: Ints = np.concatenate(chosen)
        self._size = [len(mine) for mine in chosen[1:]]
        self._in_turn = np.argsort(demand.tier, kind="stable").tolist()
        self._caps, self._flows = problem.caps, len(order)

    def serve(self, program: Program, items: Ints, item_of: Ints, waiting: Ints) -> tuple[Ints, Ints]:
        """Variables for what each choice serves, (C,), taken from its item's row, and for what each kind gets, (K,)."""
        menu = np.repeat(np.arange(len(self._size)), self._size)
        chosen = program.add_variables(np.zeros(len(menu)))
        served = program.add_variables(np.zeros(len(waiting)), waiting.astype(np.float64))
        rows = program.add_rows(np.zeros(len(self._size)), INFINITY)
        program.add_terms(rows[menu], chosen, 1.0)
        program.add_terms(rows[self.of_kind], served, -1.0)
        program.add_terms(items[item_of[self.choice]], chosen, -1.0)
        return chosen, served

    def part(self, useful: Marks) -> Menus:
        """The same with some of the choices (C,) only."""
        kept = np.split(useful, np.cumsum(self._size))[:-1]
        part = copy(self)
        part.choice = self.choice[useful]
        part._size = [int(mine.sum()) for mine in kept]
        part._options = [mine[kept[menu]] for mine, menu in zip(self._options, self.of_kind.tolist(), strict=True)]
        return part

    def capped(self, chosen: Ints) -> tuple[Ints, Ints]:
        """What the problem's caps count of these variables: positions in the caps, and for each its variable."""
        of_option = np.full(self._flows, NONE)
        of_option[self.choice] = chosen
        mine = np.flatnonzero(of_option[self._caps.option] != NONE)
        return mine, of_option[self._caps.option[mine]]

    def shared_out(self, chosen: Ints, served: Ints) -> Ints:
        """(O,) the flow that serves so much of each kind by so much of each choice.

        Where the choices give less than is served, later tiers go without.
        """
        flow = np.zeros(self._flows, dtype=np.int64)
        ends = np.cumsum(self._size).tolist()
        at = [end - size for end, size in zip(ends, self._size, strict=True)]
        begins, left = list(at), chosen.tolist()
        for kind in self._in_turn:
            menu, wanted = int(self.of_kind[kind]), int(served[kind])
            while wanted and at[menu] < ends[menu]:
                part = min(wanted, left[at[menu]])
                flow[self._options[kind][at[menu] - begins[menu]]] += part
                wanted -= part
                left[at[menu]] -= part
                at[menu] += not left[at[menu]]
        return flow
