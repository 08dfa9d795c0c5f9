"""Deletes the oldest objects of a kind that only records what happened: plans, events."""

from __future__ import annotations

import asyncio
from typing import Generic

import structlog

from migctl.backends.protocol import ChangeType, ControlPlane, ControlPlaneError, Expired, NotFound
from migctl.objects import T

log = structlog.get_logger()

MAX_PLANS = 200
RETRY_S = 30.0


class Retention(Generic[T]):
    """The newest `most` objects of a kind stay. The age of an object is its version when it was first seen."""

    def __init__(self, control_plane: ControlPlane, kind: type[T], most: int) -> None:
        self.most = most
        self._control_plane = control_plane
        self._kind: type[T] = kind
        self._oldest_first: dict[str, T] = {}

    async def run(self) -> None:
        """Delete the oldest as soon as there are more than `most`, until cancelled."""
        while True:
            try:
                await self._follow()
            except Expired:
                continue
            except ControlPlaneError as error:
                log.debug("old objects stay", kind=self._kind.__name__, error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        """One list, and a watch from there on."""
        listing = await self._control_plane.list(self._kind)
        by_age = sorted(listing.items, key=lambda obj: int(obj.meta.version))
        self._oldest_first = {obj.meta.uid: obj for obj in by_age}
        await self._trim()
        async for change in self._control_plane.watch(self._kind, listing.version):
            if change.type is ChangeType.ADDED:
                self._oldest_first[change.object.meta.uid] = change.object
                await self._trim()
            elif change.type is ChangeType.DELETED:
                self._oldest_first.pop(change.object.meta.uid, None)

    async def _trim(self) -> None:
        while len(self._oldest_first) > self.most:
            oldest = self._oldest_first.pop(next(iter(self._oldest_first)))
            try:
                await self._control_plane.delete(oldest)
            except NotFound:
                continue
