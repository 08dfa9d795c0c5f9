"""A cache of the control plane's objects, updated by one list and one watch per kind.

`synced` is False until every kind has been listed, and while one has to be listed again: a
decision needs all of them. Own writes enter at once (`absorb`), so that the next decision
sees them before their watch events; an event older than the cached object is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol, cast

import structlog

from migctl.backends.protocol import ChangeType, ControlPlane, ControlPlaneError, Expired
from migctl.objects import Claim, Department, GpuNode, NodePool, Object, Project, T, Workload

log = structlog.get_logger()

Key = tuple[str, str]

DECIDED_BY: tuple[type[Any], ...] = (Project, Department, NodePool, Workload, Claim, GpuNode)
"""The kinds that a decision reads."""


class ObjectView(Protocol):
    """The cached objects that a decision reads."""

    @property
    def synced(self) -> bool: ...

    def all(self, kind: type[T]) -> tuple[T, ...]: ...

    def get(self, kind: type[T], name: str, project: str = "") -> T | None: ...

    async def absorb(self, obj: Object) -> None:
        """Cache an object that an own write returned."""
        ...

    async def wait(self, seen: int, timeout: float | None = None) -> int:
        """The generation, as soon as it differs from `seen`, or after `timeout` seconds."""
        ...


class Mirror:
    """The cached objects by kind; callers may wait for the next change."""

    def __init__(self, control_plane: ControlPlane, kinds: Iterable[type[Any]] = DECIDED_BY) -> None:
        self._control_plane = control_plane
        self._objects: dict[type[Any], dict[Key, Any]] = {kind: {} for kind in kinds}
        self._listed: set[type[Any]] = set()
        self._seen: dict[type[Any], int] = dict.fromkeys(self._objects, 0)
        self._changed = asyncio.Condition()
        self.generation = 0

    @property
    def synced(self) -> bool:
        return self._listed == set(self._objects)

    def all(self, kind: type[T]) -> tuple[T, ...]:
        return tuple(cast("dict[Key, T]", self._objects[kind]).values())

    def get(self, kind: type[T], name: str, project: str = "") -> T | None:
        return cast("T | None", self._objects[kind].get((project, name)))

    async def absorb(self, obj: Object) -> None:
        """Cache an object that an own write returned, if its kind is cached and the watch has not passed it already."""
        if type(obj) in self._seen and int(obj.meta.version) > self._seen[type(obj)] and self._put(obj):
            await self._notify()

    async def wait(self, seen: int, timeout: float | None = None) -> int:
        """The generation, as soon as it differs from `seen`, or after `timeout` seconds."""
        async with self._changed:
            try:
                async with asyncio.timeout(timeout):
                    await self._changed.wait_for(lambda: self.generation != seen)
            except TimeoutError:
                pass
            return self.generation

    async def read(self) -> None:
        """List every kind once."""
        await asyncio.gather(*(self._relist(kind) for kind in self._objects))

    async def run(self) -> None:
        """Follow every kind until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for kind in self._objects:
                tasks.create_task(self._follow(kind))

    async def _follow(self, kind: type[Any]) -> None:
        while True:
            try:
                version = await self._relist(kind)
                async for change in self._control_plane.watch(kind, version):
                    self._seen[kind] = max(self._seen[kind], int(change.object.meta.version))
                    if self._drop(change.object) if change.type is ChangeType.DELETED else self._put(change.object):
                        await self._notify()
            except Expired:
                self._listed.discard(kind)
            except ControlPlaneError as error:
                self._listed.discard(kind)
                log.warning("watch interrupted", kind=kind.PLURAL, error=str(error))
                await asyncio.sleep(1.0)

    async def _relist(self, kind: type[Any]) -> str:
        listing = await self._control_plane.list(kind)
        self._objects[kind] = {(obj.meta.project, obj.meta.name): obj for obj in listing.items}
        self._seen[kind] = int(listing.version)
        self._listed.add(kind)
        await self._notify()
        return listing.version

    def _put(self, obj: Object) -> bool:
        cached = self._objects[type(obj)]
        key = (obj.meta.project, obj.meta.name)
        old = cached.get(key)
        if old is not None and int(old.meta.version) >= int(obj.meta.version):
            return False
        cached[key] = obj
        return True

    def _drop(self, obj: Object) -> bool:
        cached = self._objects[type(obj)]
        key = (obj.meta.project, obj.meta.name)
        old = cached.get(key)
        if old is None or (old.meta.uid != obj.meta.uid and int(old.meta.version) > int(obj.meta.version)):
            return False
        del cached[key]
        return True

    async def _notify(self) -> None:
        async with self._changed:
            self.generation += 1
            self._changed.notify_all()
