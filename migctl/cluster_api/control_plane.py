"""The control plane of a cluster as one caller may use it: reads from the cache, writes with his own token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from msgspec.structs import replace

from migctl.access.caller import Place
from migctl.access.ending import Ended, never_ended, while_allowed
from migctl.access.hidden_names import told
from migctl.access.rights import Verb
from migctl.api.admitting import AdmittingControlPlane
from migctl.backends.kubernetes.overview.changes import ViewChanges
from migctl.backends.kubernetes.overview.view import ClusterView
from migctl.backends.protocol import Change, ControlPlane, Forbidden, Listing
from migctl.cluster_api.permissions import NAMESPACED, TABLE
from migctl.cluster_api.rights import ClusterRights
from migctl.cluster_api.visible import VisibleInCluster
from migctl.objects import Event, T, Workload

KINDS_NOT_HERE = Forbidden(
    "on a cluster its own RBAC says who may do what", hint="kubectl auth can-i --list -n PROJECT shows it"
)


class CallersControlPlane:
    """A ControlPlane for one caller. A denial is Forbidden, in words that do not tell whether the object exists.

    own    his own control plane, with his token: it is asked for writes, and for events, which are not cached
    ended  what ends his streams
    """

    def __init__(
        self,
        own: ControlPlane,
        view: ClusterView,
        changes: ViewChanges,
        rights: ClusterRights,
        ended: Ended = never_ended,
    ) -> None:
        self._ended = ended
        self._own = own
        self._view = view
        self._changes = changes
        self._rights = rights
        self._admitting = AdmittingControlPlane(ListedFromCache(own, view))

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        if project or kind.PLURAL not in NAMESPACED:
            self._rights.require(Verb.READ, kind.PLURAL, Place(project or ""))
        if kind is Event:
            return await self._own.list(kind, project)
        seen, listing = VisibleInCluster(self._view, self._rights), await self._changes.list(kind)
        there = (obj for obj in listing.items if project is None or obj.meta.project == project)
        return Listing(tuple(self._told(obj, seen) for obj in there if seen.sees(obj)), listing.version)

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        """What is not cached yet is asked for with his token: another process may just have made it for him."""
        self._rights.require(Verb.READ, kind.PLURAL, Place(project))
        seen = VisibleInCluster(self._view, self._rights)
        found = None if kind is Event else seen.get(kind, name, project)
        if found is None:
            found = await self._own.get(kind, name, project)
            if kind is not Event:
                await self._view.absorb(found)
        return self._told(found, seen)

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        """His rights are asked again as changes come, and while none come. Raises what ends his access."""
        return while_allowed(self._changes_of(kind, since), self._ended)

    async def _changes_of(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        rights = self._rights
        if kind.PLURAL not in NAMESPACED:
            rights.require(Verb.READ, kind.PLURAL, Place())
        source = self._own.watch(kind, since) if kind is Event else self._changes.watch(kind, since)
        async for change in source:
            rights = await rights.renewed()
            seen = VisibleInCluster(self._view, rights)
            if seen.sees(change.object):
                yield Change(change.type, self._told(change.object, seen))

    async def create(self, obj: T) -> T:
        """A workload is its sender's."""
        self._check_kind(obj)
        if isinstance(obj, Workload):
            obj = replace(obj, spec=replace(obj.spec, user=self._rights.caller.user))
        made = await self._admitting.create(obj)
        await self._view.absorb(made)
        return self._told(made, VisibleInCluster(self._view, self._rights))

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        """A change that changes nothing is no request to the API server: so the right to it is asked first."""
        self._check_kind(obj)
        await self._rights.require_some(Verb.UPDATE, obj.PLURAL, obj.meta.project)
        changed = await self._admitting.patch(obj, changes, fenced=fenced)
        await self._view.absorb(changed)
        return self._told(changed, VisibleInCluster(self._view, self._rights))

    async def delete(self, obj: T) -> None:
        self._check_kind(obj)
        await self._admitting.delete(obj)

    def _told(self, obj: T, seen: VisibleInCluster) -> T:
        """An object as he may read it."""
        return seen.with_node(told(obj, self._view, seen, self._rights.caller.user))

    @staticmethod
    def _check_kind(obj: Any) -> None:
        """Of kinds that a cluster has; claims and events are made by others."""
        if (Verb.CREATE, obj.PLURAL) not in TABLE:
            raise KINDS_NOT_HERE


class ListedFromCache:
    """What admission reads: lists from the cache, whoever asks; the object itself from the API server, as he may."""

    def __init__(self, own: ControlPlane, view: ClusterView) -> None:
        self._own = own
        self._view = view

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        found = self._view.all(kind)
        return Listing(tuple(obj for obj in found if project is None or obj.meta.project == project), "")

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        return await self._own.get(kind, name, project)

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        return self._own.watch(kind, since)

    async def create(self, obj: T) -> T:
        return await self._own.create(obj)

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        return await self._own.patch(obj, changes, fenced=fenced)

    async def delete(self, obj: T) -> None:
        await self._own.delete(obj)
