"""The cheapest windows of a whole cluster, for many requests of few shapes.

What a node offers to a shape is kept until something on that node changes. While a plan grows,
what a licence allows only shrinks: an offer is checked once more before it is taken. When the plan
is taken back to an earlier moment, what was looked at since is looked at again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator

from solver.disruption.victims import Cost, Licence
from solver.disruption.windows import Window, on_host
from solver.model.demand import Request
from solver.model.snapshot import Policy
from solver.working_copy.copy import Mark, WorkingCopy
from solver.working_copy.gangs import Domain
from solver.working_copy.occupancy import Host
from solver.working_copy.ranking import Ranking
from solver.working_copy.shapes import shape


class Search:
    """Rankings of windows by shape, licence and domain."""

    def __init__(self, copy: WorkingCopy, policy: Policy) -> None:
        self._copy = copy
        copy.watch(self._taken_back)
        self._policy = policy
        self._rankings: dict[Hashable, Ranking[Window]] = {}
        self._looks: list[tuple[int, Hashable, str]] = []
        self._stale: defaultdict[Hashable, set[str]] = defaultdict(set)

    def cheapest(self, request: Request, licence: Licence, domain: Domain) -> Window | None:
        """The cheapest window; None where nobody's going that the licence covers opens one."""
        ranking = self._ranking(request, licence, domain)
        refreshed: set[str] = set()
        while best := ranking.best():
            name, window = best
            if name in refreshed or licence.complete(window.gone) == window.gone:
                return window
            refreshed.add(name)
            ranking.refresh([name])
        return None

    def ranked(self, request: Request, licence: Licence, domain: Domain) -> Iterator[Window]:
        """The best window of every node that has one, cheapest first."""
        return self._ranking(request, licence, domain).in_order()

    def _taken_back(self, mark: Mark) -> None:
        """What was looked at when the ledger had changed since the mark may not be so any more."""
        while self._looks and self._looks[-1][0] > mark.ledger:
            _, key, name = self._looks.pop()
            self._stale[key].add(name)

    def _ranking(self, request: Request, licence: Licence, domain: Domain) -> Ranking[Window]:
        key = (shape(request), licence.key, domain.name)
        if key not in self._rankings:

            def look(host: Host) -> tuple[Cost, Window] | None:
                self._looks.append((self._copy.ledger.mark(), key, host.node.name))
                return on_host(self._copy.cluster, host, request, self._policy, licence)

            self._rankings[key] = Ranking(self._copy.cluster, domain.hosts, look)
        elif stale := self._stale.pop(key, None):
            self._rankings[key].refresh(stale)
        return self._rankings[key]
