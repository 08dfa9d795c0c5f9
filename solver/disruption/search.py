"""The cheapest windows of a whole cluster, for many requests of few shapes.

What a node offers to a shape is kept until something on that node changes, so that the next equal
request looks at the changed nodes only. While a plan grows, what a licence allows only shrinks: an
offer is checked once more before it is taken.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from solver.disruption.victims import Cost, Licence
from solver.disruption.windows import Window, on_host
from solver.model.demand import Request
from solver.model.snapshot import Policy
from solver.packing.occupancy import Cluster, Host
from solver.packing.shapes import shape

Offer = tuple[Cost, Window] | None


class Search:
    """Offers by shape, licence and node."""

    def __init__(self, cluster: Cluster, policy: Policy) -> None:
        self._cluster = cluster
        self._policy = policy
        self._offers: dict[Hashable, dict[str, tuple[int, Offer]]] = {}
        self._journal: list[tuple[dict[str, tuple[int, Offer]], str]] = []

    def cheapest(self, request: Request, licence: Licence, within: Iterable[Host] | None = None) -> Window | None:
        """The cheapest window; None where nobody's going that the licence covers opens one."""
        hosts = [*(self._cluster.hosts.values() if within is None else within)]
        offers = self._refreshed(request, licence, hosts)
        while True:
            names = ((offer[0], host.node.name) for host in hosts if (offer := offers[host.node.name][1]))
            best = min(names, default=None)
            if best is None:
                return None
            host = self._cluster.hosts[best[1]]
            newest = self._look(request, licence, host)
            if newest == offers[best[1]][1]:
                return newest[1] if newest else None
            self._keep(offers, host, newest)

    def ranked(self, request: Request, licence: Licence, within: Iterable[Host] | None = None) -> Iterator[Window]:
        """The best window of every node that has one, cheapest first."""
        hosts = [*(self._cluster.hosts.values() if within is None else within)]
        offers = self._refreshed(request, licence, hosts)
        found = [(*offer, host.node.name) for host in hosts if (offer := offers[host.node.name][1])]
        return (window for _, window, _ in sorted(found, key=lambda entry: (entry[0], entry[2])))

    def mark(self) -> int:
        """A moment to go back to with `undo`."""
        return len(self._journal)

    def undo(self, mark: int) -> None:
        """The plan shrinks: what was looked at since may be better than it was then."""
        while len(self._journal) > mark:
            offers, name = self._journal.pop()
            offers.pop(name, None)

    def _refreshed(self, request: Request, licence: Licence, hosts: list[Host]) -> dict[str, tuple[int, Offer]]:
        offers = self._offers.setdefault((shape(request), licence.key), {})
        for host in hosts:
            known = offers.get(host.node.name)
            if known is None or known[0] != host.stamp:
                self._keep(offers, host, self._look(request, licence, host))
        return offers

    def _keep(self, offers: dict[str, tuple[int, Offer]], host: Host, offer: Offer) -> None:
        self._journal.append((offers, host.node.name))
        offers[host.node.name] = (host.stamp, offer)

    def _look(self, request: Request, licence: Licence, host: Host) -> Offer:
        return on_host(self._cluster, host, request, self._policy, licence)
