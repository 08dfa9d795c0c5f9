"""The changes of a view, kept for a while: a watch can begin where a list ended."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Generic

from migctl.backends.kubernetes.cache.newest import Key
from migctl.backends.mirror import ObjectView
from migctl.backends.protocol import Change, ChangeType, Expired, Listing
from migctl.objects import T

MAX_CHANGES = 5000
"""Kept of each kind."""


@dataclass
class _Log(Generic[T]):
    """The last changes of one kind. first: the number of the oldest of them."""

    objects: dict[Key, T]
    changes: deque[Change[T]] = field(default_factory=deque)
    first: int = 0
    generation: int = -1

    @property
    def end(self) -> int:
        return self.first + len(self.changes)


class ViewChanges:
    """Lists and watches of a view's objects. Versions count its changes, and are of this process alone."""

    def __init__(self, view: ObjectView) -> None:
        self._view = view
        self._logs: dict[type[Any], _Log[Any]] = {}
        self._mine = uuid.uuid4().hex[:12]

    async def list(self, kind: type[T]) -> Listing[T]:
        """All objects of a kind."""
        log = await self._caught_up(kind)
        return Listing(tuple(log.objects.values()), f"{self._mine}.{log.end}")

    async def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        """Changes after a version. Raises Expired for one that is too old, or another process's."""
        mine, _, number = since.partition(".")
        if mine != self._mine or not number.isdigit():
            raise Expired("this watch began elsewhere", hint="list again and watch from the new version")
        at = int(number)
        while True:
            log = await self._caught_up(kind)
            if not log.first <= at <= log.end:
                raise Expired("the watch's starting point is too old", hint="list again and watch from the new version")
            news = [log.changes[index - log.first] for index in range(at, log.end)]
            at = log.end
            for change in news:
                yield change
            if not news:
                await self._view.wait(log.generation)

    async def _caught_up(self, kind: type[T]) -> _Log[T]:
        generation = await self._view.wait(-1)
        log = self._logs.get(kind)
        if log is not None and log.generation == generation:
            return log
        now = {(obj.meta.project, obj.meta.name): obj for obj in self._view.all(kind)}
        if log is None:
            log = self._logs[kind] = _Log(now)
        else:
            log.changes.extend(_between(log.objects, now))
            log.objects = now
        while len(log.changes) > MAX_CHANGES:
            log.changes.popleft()
            log.first += 1
        log.generation = generation
        return log


def _between(before: dict[Key, T], now: dict[Key, T]) -> list[Change[T]]:
    """What happened; an object that another one of its name followed was deleted."""
    changes = []
    for key, old in before.items():
        new = now.get(key)
        if new is None or new.meta.uid != old.meta.uid:
            changes.append(Change(ChangeType.DELETED, old))
    for key, new in now.items():
        known = before.get(key)
        if known is None or known.meta.uid != new.meta.uid:
            changes.append(Change(ChangeType.ADDED, new))
        elif known is not new and known != new:
            changes.append(Change(ChangeType.MODIFIED, new))
    return changes
