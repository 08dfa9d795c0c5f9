"""A snapshot's holdings, read in one pass: whose claims they are, and how much each project holds where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from itertools import count, filterfalse

import numpy as np

from solver.model.demand import Holding
from solver.model.snapshot import Snapshot
from solver.quota.accounting import granted

Book = tuple[str, str, bool]
"""Project, pool ("" where the node is not known), preemptible."""
Look = tuple[str, str, bool, int, bool, bool]
"""A book, and of what is in it: priority, whether it may be evicted now, whether it is on its way out."""


class Holdings:
    """held: GPUs by book, in order of appearance; least: by project, the lowest priority that may have to give way.

    What is on its way out counts for neither.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._holdings = snapshot.held
        self._claims = [holding.request.claim for holding in snapshot.held]
        self._several: list[int] = []
        self._sum_up(*self._read({node.name: node.pool for node in snapshot.nodes}))

    def _read(self, pool_of: dict[str, str]) -> tuple[list[Look], list[int], list[float]]:
        """All looks, and of each holding the number of its look and its GPUs."""
        looks: defaultdict[Look, int] = defaultdict(count().__next__)
        look, gpus = list[int](), list[float]()
        for i, holding in enumerate(self._holdings):
            request, grant = holding.request, holding.grant
            pool, movable = pool_of.get(grant.node, ""), not holding.protected
            look.append(looks[request.project, pool, request.preemptible, request.priority, movable, holding.releasing])
            if len(grant.devices) == 1:
                gpus.append(grant.devices[0].portion)
            else:
                gpus.append(granted(grant))
                self._several.append(i)
        return list(looks), look, gpus

    def _sum_up(self, looks: Sequence[Look], look: Sequence[int], gpus: Sequence[float]) -> None:
        numbers: dict[Book, int] = {}
        self.least: dict[str, int] = {}
        for project, pool, preemptible, priority, movable, releasing in looks:
            if not releasing:
                numbers.setdefault((project, pool, preemptible), len(numbers))
                if preemptible and movable:
                    self.least[project] = min(priority, self.least.get(project, priority))
        number = [len(numbers) if out else numbers[project, pool, firm] for project, pool, firm, _, _, out in looks]
        book = np.array(number, dtype=np.int64)[np.array(look, dtype=np.int64)]
        self.held = dict(zip(numbers, np.bincount(book, gpus, len(numbers)).tolist(), strict=False))

    def unreported(self, claims: Set[str | None]) -> list[Holding]:
        """Those that nobody reports or, since they have several devices, somebody may report in part."""
        unseen = set(filterfalse(claims.__contains__, self._claims))
        alone = (i for i, claim in enumerate(self._claims) if claim in unseen) if unseen else ()
        return [self._holdings[i] for i in sorted({*self._several, *alone})]
