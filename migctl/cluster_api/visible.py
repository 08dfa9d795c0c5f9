"""The cached objects that a caller may see on a cluster."""

from __future__ import annotations

from collections.abc import Hashable

from migctl.access.caller import Place
from migctl.access.rights import Reach, Verb
from migctl.access.visible import VisibleObjects, shown
from migctl.backends.kubernetes.overview.view import ClusterView
from migctl.cluster_api.rights import ClusterRights
from migctl.objects import GpuNode, Object, T, Workload


class VisibleInCluster(VisibleObjects):
    """What is in a project is seen by who may list such objects in its namespace, whoever sees the project itself."""

    def __init__(self, view: ClusterView, rights: ClusterRights) -> None:
        super().__init__(view, rights)
        self._cluster = view
        self._read = rights

    def all(self, kind: type[T]) -> tuple[T, ...]:
        return tuple(self._with_node(obj) for obj in super().all(kind))

    def get(self, kind: type[T], name: str, project: str = "") -> T | None:
        found = super().get(kind, name, project)
        return None if found is None else self._with_node(found)

    def sees(self, obj: Object) -> bool:
        return self._read.may(Verb.READ, obj)

    def sees_project(self, name: str) -> bool:
        """Whether he may see the workloads of a project."""
        return self._read.reach(Verb.READ, Workload.PLURAL, Place(name)) is Reach.ALL

    def shown(self, obj: T) -> T:
        """An object that he sees, as he sees it."""
        return self._with_node(shown(obj, self))

    def sees_at(self, resource: str, place: Place, *, exists: bool = True) -> bool:
        return self._read.reach(Verb.READ, resource, place) is Reach.ALL

    @property
    def rights_key(self) -> Hashable:
        return self._read.readable

    def audience(self) -> Hashable:
        return (super().audience(), self._read.readable)

    def anew(self) -> VisibleInCluster:
        return VisibleInCluster(self._cluster, self._read)

    async def renewed(self) -> VisibleInCluster:
        return VisibleInCluster(self._cluster, await self._read.renewed())

    def _with_node(self, obj: T) -> T:
        """Labels and cordons are Kubernetes' own Nodes'."""
        if isinstance(obj, GpuNode) and self._read.sees_nodes:
            return self._cluster.with_node(obj)
        return obj
