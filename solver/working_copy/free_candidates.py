"""The best free place for a request, for many requests one after another on one working copy.

One device: by the index of the nodes its labels allow. Several devices, or too many nodes that lack
CPU, memory or distance: by a ranking of nodes for its shape. Both are cached and brought up to date.
"""

from __future__ import annotations

from collections.abc import Hashable

from solver.model.demand import Request
from solver.model.snapshot import Policy
from solver.working_copy.gangs import Domain
from solver.working_copy.index import Admits, GpuIndex, TooManyRefusals
from solver.working_copy.occupancy import Candidate, WorkingCluster, WorkingNode
from solver.working_copy.ranking import Ranking
from solver.working_copy.scoring import candidates_on
from solver.working_copy.shapes import shape


class FreeCandidates:
    """The candidates of one cluster that are free now."""

    def __init__(self, cluster: WorkingCluster, policy: Policy) -> None:
        self._cluster, self._policy = cluster, policy
        self._indexes: dict[Hashable, GpuIndex] = {}
        self._rankings: dict[Hashable, Ranking[list[Candidate]]] = {}

    def best(self, request: Request, domain: Domain) -> list[Candidate]:
        """A candidate for every device, all on one node of the domain; [] where there is no place."""
        if request.demand.devices == 1 and (shape(request), domain.name) not in self._rankings:
            try:
                candidate = self._index(request, domain).best(request, _admits(request))
            except TooManyRefusals:
                pass
            else:
                return [candidate] if candidate else []
        best = self._ranking(request, domain).best()
        return best[1] if best else []

    def caught_up(self) -> None:
        """Bring everything up to date and empty the cluster's list of changes."""
        for index in self._indexes.values():
            index.catch_up()
            index.rewind()
        self._rankings.clear()
        self._cluster.changes.clear()

    @property
    def size(self) -> int:
        """Indexes and rankings that are kept."""
        return len(self._indexes) + len(self._rankings)

    def _index(self, request: Request, domain: Domain) -> GpuIndex:
        key = (domain.name, tuple(sorted(request.node_selector.items())))
        if key not in self._indexes:
            wanted = request.node_selector.items()
            nodes = (node for node in domain.nodes if wanted <= node.reported.labels.items())
            self._indexes[key] = GpuIndex(self._cluster, nodes, self._policy)
        return self._indexes[key]

    def _ranking(self, request: Request, domain: Domain) -> Ranking[list[Candidate]]:
        key = (shape(request), domain.name)
        if key not in self._rankings:
            self._rankings[key] = Ranking(
                self._cluster, domain.nodes, lambda node: candidates_on(node, request, self._policy)
            )
        return self._rankings[key]


def _admits(request: Request) -> Admits | None:
    """What a node must still have for the request, None where any will do."""
    if not (request.excluded or request.cpu_milli or request.memory_mib or request.anti_affinity is not None):
        return None

    def admits(node: WorkingNode) -> bool:
        return node.reported.name not in request.excluded and node.has_room(request)

    return admits
