"""The control plane for tests: in memory, with countable uids and a clock that tests move."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from migctl.backends.protocol import Change, Listing
from migctl.backends.sqlite.state import LOG_LENGTH, ObjectState
from migctl.backends.sqlite.transaction import Transaction
from migctl.clock import Clock
from migctl.objects import T


class ManualClock:
    """A clock that only advance() moves."""

    def __init__(self, now: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = now

    def __call__(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class MemoryControlPlane:
    """The protocol's ControlPlane without a file; passes the contract suite as every adapter does."""

    def __init__(self, clock: Clock | None = None, log_length: int = LOG_LENGTH, uids: str = "uid") -> None:
        self._clock = clock or ManualClock()
        self._uids = (f"{uids}-{number}" for number in itertools.count(1))
        self._state = ObjectState(log_length=log_length)

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        return self._state.list(kind, project)

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        return self._state.get(kind, name, project)

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        return self._state.watch(kind, since)

    async def create(self, obj: T) -> T:
        transaction = self._begin()
        created = transaction.create(obj)
        self._state.apply(transaction.changes)
        return created

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        transaction = self._begin()
        patched = transaction.patch(obj, changes, fenced)
        self._state.apply(transaction.changes)
        return patched

    async def delete(self, obj: T) -> None:
        transaction = self._begin()
        transaction.delete(obj)
        self._state.apply(transaction.changes)

    async def close(self) -> None:
        """End the watches."""
        self._state.close()

    def _begin(self) -> Transaction:
        return Transaction(self._state, self._clock, lambda: next(self._uids))
