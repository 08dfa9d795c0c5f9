"""The cheapest openings of a whole cluster, for many requests of few shapes.

What a node offers to a shape is cached until something on that node changes. While a plan grows,
what eviction rights allow only shrinks: an offer is checked once more before it is taken. When the plan
is taken back to an earlier moment, what was looked at since is looked at again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator

from solver.disruption.openings import Opening, on_node
from solver.disruption.victims import Cost, EvictionRights
from solver.model.demand import Request
from solver.model.snapshot import Policy
from solver.working_copy.copy import Mark, WorkingCopy
from solver.working_copy.gangs import Domain
from solver.working_copy.occupancy import WorkingNode
from solver.working_copy.ranking import Ranking
from solver.working_copy.shapes import shape


class Search:
    """Rankings of openings by shape, rights and domain."""

    def __init__(self, copy: WorkingCopy, policy: Policy) -> None:
        self._copy = copy
        copy.watch(self._taken_back)
        self._policy = policy
        self._rankings: dict[Hashable, Ranking[Opening]] = {}
        self._looks: list[tuple[int, Hashable, str]] = []
        self._stale: defaultdict[Hashable, set[str]] = defaultdict(set)

    def cheapest(self, request: Request, rights: EvictionRights, domain: Domain) -> Opening | None:
        """The cheapest opening; None where nobody's going that the rights cover opens one."""
        ranking = self._ranking(request, rights, domain)
        refreshed: set[str] = set()
        while best := ranking.best():
            name, opening = best
            if name in refreshed or rights.complete(opening.removed) == opening.removed:
                return opening
            refreshed.add(name)
            ranking.refresh([name])
        return None

    def ranked(self, request: Request, rights: EvictionRights, domain: Domain) -> Iterator[Opening]:
        """The best opening of every node that has one, cheapest first."""
        return self._ranking(request, rights, domain).in_order()

    def _taken_back(self, mark: Mark) -> None:
        """What was looked at when the ledger had changed since the mark may not be so any more."""
        while self._looks and self._looks[-1][0] > mark.ledger:
            _, key, name = self._looks.pop()
            self._stale[key].add(name)

    def _ranking(self, request: Request, rights: EvictionRights, domain: Domain) -> Ranking[Opening]:
        key = (shape(request), rights.key, domain.name)
        if key not in self._rankings:

            def look(node: WorkingNode) -> tuple[Cost, Opening] | None:
                self._looks.append((self._copy.ledger.mark(), key, node.reported.name))
                return on_node(self._copy.cluster, node, request, self._policy, rights)

            self._rankings[key] = Ranking(self._copy.cluster, domain.nodes, look)
        elif stale := self._stale.pop(key, None):
            self._rankings[key].refresh(stale)
        return self._rankings[key]
