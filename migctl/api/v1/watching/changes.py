"""The changes that all clients share: noticed once, kept for a while, encoded once for all who see the same."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections import deque
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass, field, replace

import structlog

from migctl.access.caller import OWNER, Caller, Rights
from migctl.access.visible import VisibleObjects
from migctl.api.v1.service import CallersService, RoutesService
from migctl.api.v1.watching.objects import Watched, WatchedKind, WatchedObjects
from migctl.api.v1.watching.shown import encoded
from migctl.api.v1.workloads.rows import rows_of
from migctl.backends.mirror import Mirror, ObjectView
from migctl.backends.protocol import ChangeType
from migctl.objects import Event, PlacementPlan

log = structlog.get_logger()

KEPT = 4096
"""Least number of changes that stay for clients which come back, or are slow; they are cut at twice that."""
MAX_FRAMES = 32 * 2**20
"""Bytes of encoded changes that are kept; older ones are encoded again when somebody still needs them."""
MAX_AUDIENCES = 4096
TOGETHER_S = 0.05
"""What changes within this time is told together: each telling is a write to each client."""


@dataclass(slots=True)
class SharedChange:
    """One change. frames: its JSON, by its type and by who sees the same of it."""

    number: int
    before: Watched | None
    after: Watched | None
    frames: dict[tuple[ChangeType, int, str], bytes] = field(default_factory=dict)

    @property
    def kind(self) -> WatchedKind:
        """Of the object."""
        watched = self.after or self.before
        assert watched is not None
        return watched.kind


class SharedChanges:
    """The changes of a service since the first client came. Numbers are of this process alone."""

    def __init__(self, service: RoutesService, kept: int = KEPT) -> None:
        self.epoch = uuid.uuid4().hex[:12]
        self.objects = WatchedObjects()
        self.end = 0
        self._service = service
        self._kept = kept
        stored = service.control_plane
        self._own = None if stored is None else Mirror(stored, (Event, PlacementPlan))
        self._log: list[SharedChange] = []
        self._framed: deque[SharedChange] = deque()
        self._bytes = 0
        self._followers: set[asyncio.Event] = set()
        self._following: asyncio.Task[None] | None = None
        self._started = False
        self._news = asyncio.Event()
        self._lock = asyncio.Lock()
        self._audiences: dict[Hashable, int] = {}
        self._numbers = itertools.count()
        self._doors: dict[tuple[int, str], CallersService] = {}

    @property
    def broken(self) -> bool:
        """Whether nothing is noticed any more, by a bug."""
        return self._following is not None and self._following.done()

    @contextlib.asynccontextmanager
    async def followed(self, wake: asyncio.Event) -> AsyncIterator[None]:
        """Notice changes while the context is open; `wake` is set when there are some."""
        self._followers.add(wake)
        try:
            if self._following is None:
                await self._look()
                self._following = self._following or asyncio.create_task(self._follow())
                self._following.add_done_callback(self._ended)
            yield
        finally:
            self._followers.discard(wake)
            if not self._followers and self._following is not None:
                last, self._following = self._following, None
                last.cancel()
                await asyncio.gather(last, return_exceptions=True)

    def covers(self, number: int) -> bool:
        """Whether all changes after this one are still kept."""
        return self.end - len(self._log) <= number <= self.end

    def after(self, number: int, most: int) -> list[SharedChange]:
        """The changes after one, the oldest first, so many at most."""
        start = number - (self.end - len(self._log))
        return self._log[start : start + most]

    def audience(self, seen: VisibleObjects) -> int:
        """A number for all who see the same."""
        key = seen.audience()
        if len(self._audiences) >= MAX_AUDIENCES:
            self._audiences.clear()
        return self._audiences.setdefault(key, next(self._numbers))

    def frame(self, change: SharedChange, type_: ChangeType, door: CallersService, audience: int) -> bytes:
        """What a caller is told of a change. audience: of his door's `seen`."""
        watched = change.before if type_ is ChangeType.DELETED else change.after
        assert watched is not None
        for user in ("", door.caller.user):
            if (found := change.frames.get((type_, audience, user))) is not None:
                return found
        found, user = self.encode(type_, watched, door, audience)
        if not change.frames:
            self._framed.append(change)
        change.frames[type_, audience, user] = found
        self._bytes += len(found)
        while self._bytes > MAX_FRAMES and len(self._framed) > 1:
            oldest = self._framed.popleft()
            self._bytes -= sum(map(len, oldest.frames.values()))
            oldest.frames.clear()
        return found

    def encode(self, type_: ChangeType, watched: Watched, door: CallersService, audience: int) -> tuple[bytes, str]:
        """What a caller is told, and whose it is: "" for all of his audience.

        Names of users that one may not learn are left out of texts, but not one's own.
        """
        everything = encoded(self._door_of_everybody(door), watched)
        mine = door.caller.user if door.caller.user.encode() in everything else ""
        key = (audience, mine)
        if key not in self._doors:
            self._doors[key] = replace(door, caller=replace(door.caller, user=mine), seen=door.seen.anew())
        shown = encoded(self._doors[key], watched)
        head = f'data: {{"type":"{type_}","kind":"{watched.kind}","object":'.encode()
        return b"".join((head, shown, b"}\n\n")), mine

    def _door_of_everybody(self, door: CallersService) -> CallersService:
        """A door that hides nothing: what it shows is not sent."""
        key = (-1, "")
        if key not in self._doors:
            view = self._service.view
            rights = Rights(Caller("", OWNER), door.rights.department_of)
            self._doors[key] = replace(door, rights=rights, seen=VisibleObjects(view, rights))
        return self._doors[key]

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._notice(self._service.view))
            if self._own is not None:
                tasks.create_task(self._own.run())
                tasks.create_task(self._notice(self._own))
            time = asyncio.get_running_loop().time
            while True:
                await self._news.wait()
                self._news.clear()
                start = time()
                await self._look()
                await asyncio.sleep(max(TOGETHER_S, time() - start))

    async def _notice(self, view: ObjectView) -> None:
        seen = -1
        while True:
            seen = await view.wait(seen)
            self._news.set()

    async def _look(self) -> None:
        """Take in what changed since the last look."""
        async with self._lock:
            if self._own is not None and not self._own.synced:
                await self._own.read()
            rows = await rows_of(self._service)
            self._doors.clear()
            view = self._service.view
            plans = (self._own or view).all(PlacementPlan)
            events = self._own.all(Event) if self._own is not None else ()
            changed = self.objects.look(view, rows.all(), plans, events)
            if not self._started:
                self._started = True
                return
            for before, after in changed:
                if before is not None or after is not None:
                    self.end += 1
                    self._log.append(SharedChange(self.end, before, after))
            if len(self._log) >= 2 * self._kept:
                self._cut()
            if changed:
                self._wake()

    def _cut(self) -> None:
        for change in self._log[: -self._kept]:
            self._bytes -= sum(map(len, change.frames.values()))
            change.frames.clear()
        del self._log[: -self._kept]
        self._framed = deque(change for change in self._framed if change.frames)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("changes are not noticed any more", exc_info=error)
        self._wake()

    def _wake(self) -> None:
        for wake in self._followers:
            wake.set()


def sees(seen: VisibleObjects, watched: Watched | None) -> bool:
    """Whether a caller may see an object as it was."""
    return watched is not None and seen.sees_at(watched.kind.resource, watched.place, exists=watched.exists)


def seen_as(change: SharedChange, before: VisibleObjects, now: VisibleObjects) -> ChangeType | None:
    """What a change is to a caller, who may have seen the object before and not after, or the other way round."""
    was, remains = sees(before, change.before), sees(now, change.after)
    if remains:
        return ChangeType.MODIFIED if was else ChangeType.ADDED
    return ChangeType.DELETED if was else None
