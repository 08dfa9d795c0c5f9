"""The objects of a control plane in memory, and the log of changes that watches read.

Every change has the next revision as its object's version, so the log has no gaps and a
watch starts at a place that is computed, not searched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, cast

from migctl.backends.protocol import Change, ChangeType, Expired, Listing, Unavailable, missing
from migctl.objects import Object, T

LOG_LENGTH = 4096
"""Least number of changes that stay for watches which start in the past."""


class ObjectState:
    """Objects by kind, project and name, with the latest changes.

    revision    the version of the last change
    log_length  least number of changes in the log; it is cut at twice that
    """

    def __init__(
        self,
        revision: int = 0,
        objects: Iterable[Object] = (),
        log: Iterable[Change[Any]] = (),
        log_length: int = LOG_LENGTH,
    ) -> None:
        self.revision = revision
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._log: list[Change[Any]] = list(log)
        self._log_length = log_length
        self._news = asyncio.Event()
        self._closed = False
        for obj in objects:
            self._of(obj.PLURAL)[obj.meta.project, obj.meta.name] = obj

    @property
    def oldest(self) -> int:
        """The earliest revision that a watch may start from."""
        return self.revision - len(self._log)

    def find(self, kind: str, project: str, name: str) -> Object | None:
        return self._of(kind).get((project, name))

    def get(self, kind: type[T], name: str, project: str) -> T:
        found = self.find(kind.PLURAL, project, name)
        if found is None:
            raise missing(kind, name, project)
        return cast(T, found)

    def list(self, kind: type[T], project: str | None) -> Listing[T]:
        """Objects of a kind, ordered by project and name."""
        every = self._of(kind.PLURAL)
        keys = sorted(key for key in every if project is None or key[0] == project)
        return Listing(tuple(cast(T, every[key]) for key in keys), str(self.revision))

    def apply(self, changes: Sequence[Change[Any]]) -> None:
        """Take over changes that are stored, and wake the watches."""
        for change in changes:
            obj = change.object
            if change.type is ChangeType.DELETED:
                del self._of(obj.PLURAL)[obj.meta.project, obj.meta.name]
            else:
                self._of(obj.PLURAL)[obj.meta.project, obj.meta.name] = obj
            self._log.append(change)
            self.revision = int(obj.meta.version)
        if len(self._log) >= 2 * self._log_length:
            del self._log[: -self._log_length]
        self._wake()

    def close(self) -> None:
        """End every watch."""
        self._closed = True
        self._wake()

    async def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        """See ControlPlane.watch."""
        seen = self._start(since)
        while not self._closed:
            news = self._news
            if seen < self.oldest:
                raise _expired(since)
            for change in self._log[seen - self.oldest :]:
                seen = int(change.object.meta.version)
                if change.object.PLURAL == kind.PLURAL:
                    yield change
            if seen == self.revision:
                await news.wait()
        raise Unavailable("the control plane was closed")

    def _start(self, since: str) -> int:
        if not (since.isascii() and since.isdigit()) or int(since) > self.revision:
            raise _expired(since)
        return int(since)

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _of(self, kind: str) -> dict[tuple[str, str], Object]:
        return self._objects.setdefault(kind, {})


def _expired(since: str) -> Expired:
    return Expired(
        f"the changes since version {since!r} are no longer stored", hint="list again and watch from the new version"
    )
