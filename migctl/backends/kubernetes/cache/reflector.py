"""Reflector: makes a sink equal to what the API server stores of one kind of object, by lists and watches.

A paged list, then watches that continue from each other; a version that is too old (410) means a new
list. Broken connections are tried again after a jittered pause, a silent one counts as broken; watches that end at
once are followed by such pauses, too.
Everything is listed anew from time to time, so that a lost event is made up for; that takes a
hundredth of the time at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import structlog

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import Resource, WatchEvent
from migctl.backends.protocol import ControlPlaneError, Expired

log = structlog.get_logger()

K = TypeVar("K", contravariant=True)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, but for `page`: objects in one answer of a list.

    watch_s    one watch request, at most
    silence_s  without even a bookmark: the connection is dead
    pause_s    before the second try, growing to longest_pause_s
    audit_s    between two lists, at least; and a hundred times what a list takes
    """

    page: int = 500
    watch_s: float = 300.0
    silence_s: float = 150.0
    pause_s: float = 0.2
    longest_pause_s: float = 5.0
    audit_s: float = 60.0


DEFAULT_TIMING = Timing()


class Sink(Protocol[K]):
    """What takes in the objects. Older versions of an object than it has are its to ignore."""

    def put(self, obj: K) -> None:
        """Take in an object that is there, or has changed."""
        ...

    def drop(self, obj: K) -> None:
        """Take in the last state of an object that was deleted."""
        ...

    def keep_only(self, keys: Collection[tuple[str, str]], version: str) -> None:
        """As of `version` no others than these namespaces and names are there; what was written since stays."""
        ...


class Reflector(Generic[K]):
    """One list-and-watch. `synced` while the sink is complete and its changes arrive.

    changed  called after every batch of changes
    """

    def __init__(
        self,
        api: KubernetesApi,
        resource: Resource[Any],
        sink: Sink[K],
        changed: Callable[[], None],
        timing: Timing = DEFAULT_TIMING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resource = resource
        self.synced = False
        self.last_answer = monotonic()
        """When the server last sent anything, on the monotonic clock (seconds)."""
        self._api = api
        self._sink = sink
        self._changed = changed
        self._timing = timing
        self._monotonic = monotonic
        self._version = ""
        self._audit_at = 0.0
        self._failures = 0
        self._hasty = 0
        """Watches in a row that ended before the longest pause was over."""

    @property
    def version(self) -> int:
        """Of the newest change taken in; 0 before the first list."""
        return int(self._version or 0)

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            began = self._monotonic()
            try:
                if not self._version or self._monotonic() >= self._audit_at:
                    await self._list()
                await self._watch()
                self._failures = 0
            except Expired:
                self._version = ""
            except (ControlPlaneError, msgspec.MsgspecError) as error:
                self._lost(error)
                await asyncio.sleep(self._pause(self._failures))
                continue
            await self._rest(self._monotonic() - began)

    async def _rest(self, lasted: float) -> None:
        """Pause after watches that end at once, again and again: a server or proxy in trouble is not asked for more."""
        self._hasty = self._hasty + 1 if lasted < self._timing.longest_pause_s else 0
        if self._hasty > 1:
            await asyncio.sleep(self._pause(self._hasty - 1))

    def _lost(self, error: Exception) -> None:
        if self.synced or not self._failures:
            log.warning("lost sight of the cluster", kind=self.resource.plural, error=str(error))
        self.synced = False
        self._failures += 1
        self._changed()

    def _pause(self, times: int) -> float:
        """Up to twice as long after each time, somewhere in between, so that clients spread."""
        longest = min(self._timing.longest_pause_s, self._timing.pause_s * 2.0 ** min(times, 16))
        return longest * random.uniform(0.5, 1.0)

    async def _list(self) -> None:
        """Fill the sink with all there is, a page at a time: a whole cluster of decoded objects takes much memory."""
        began, version, there = self._monotonic(), "", set()
        async with contextlib.aclosing(self._api.pages(self.resource, page=self._timing.page)) as pages:
            async for page in pages:
                version = page.metadata.resource_version
                for obj in page.items:
                    self._sink.put(obj)
                    there.add((obj.metadata.namespace, obj.metadata.name))
        self._sink.keep_only(there, version)
        self._version = version
        now = self._monotonic()
        self._audit_at = now + max(self._timing.audit_s, 100 * (now - began))
        self._note_answer()
        self._changed()

    async def _watch(self) -> None:
        """Take in the changes of one watch request, until the server ends it."""
        seconds = min(self._timing.watch_s, self._audit_at - self._monotonic()) * random.uniform(0.8, 1.0)
        watch = self._api.watch(self.resource, self._version, seconds, self._timing.silence_s)
        async with contextlib.aclosing(watch) as batches:
            async for events in batches:
                self._failures = 0
                self._take(events)
                self._note_answer()
                self._changed()

    def _take(self, events: Iterable[WatchEvent]) -> None:
        for event in events:
            self._version = event.object.metadata.resource_version
            if event.type == "DELETED":
                self._sink.drop(event.object)
            elif event.type != "BOOKMARK":
                self._sink.put(event.object)

    def _note_answer(self) -> None:
        self.last_answer = self._monotonic()
        self.synced = True
