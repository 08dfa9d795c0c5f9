"""The newest version of every object of one kind, whatever order news of it arrives in.

An event may come twice, late, or after the answer to the write of ours that caused it. Versions of
one cluster grow with every write, so an older one is dropped; what was deleted is remembered for a
while, so that a late event does not bring it back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from migctl.backends.kubernetes.meaning.records import ObjectRecord

S = TypeVar("S")
R = TypeVar("R", bound=ObjectRecord)

Key = tuple[str, str]
"""Namespace and name."""

MAX_DELETED = 10_000
"""Deleted objects that are remembered."""


class NewestRecords(Generic[S, R]):
    """A reflector's sink of objects S, stored as records R; None stands for an object that is not stored.

    changed  hears of every change: the record before and after it, None where there is none
    """

    def __init__(self, record: Callable[[S], R | None], changed: Callable[[R | None, R | None], None]) -> None:
        self._record = record
        self._changed = changed
        self._records: dict[Key, R] = {}
        self._deleted: dict[Key, int] = {}

    @property
    def all(self) -> Mapping[Key, R]:
        """The records by namespace and name, read-only."""
        return MappingProxyType(self._records)

    def get(self, name: str, namespace: str = "") -> R | None:
        """The record of a name, None where there is none."""
        return self._records.get((namespace, name))

    def put(self, obj: S) -> None:
        """Take in an object; one older than what is known is ignored."""
        record = self._record(obj)
        if record is not None:
            self._put(record)

    def drop(self, obj: S) -> None:
        """Take in the last state of an object that was deleted."""
        record = self._record(obj)
        if record is None:
            return
        key = (record.namespace, record.name)
        known = self._records.get(key)
        if known is None or known.version <= record.version:
            self._delete(key, record.version)

    def keep_only(self, keys: Collection[Key], version: str) -> None:
        """As of `version` no others than these are there; what was written since stays."""
        at = int(version)
        for key in [key for key, known in self._records.items() if key not in keys and known.version <= at]:
            self._delete(key, at)

    def remove(self, record: R) -> None:
        """Drop a record whose object turned out not to exist any more."""
        known = self._records.get((record.namespace, record.name))
        if known is not None and known.uid == record.uid:
            self._delete((record.namespace, record.name), known.version)

    def _put(self, record: R) -> None:
        key = (record.namespace, record.name)
        before = self._records.get(key)
        if record.version <= (before.version if before else self._deleted.get(key, -1)):
            return
        self._records[key] = record
        self._changed(before, record)

    def _delete(self, key: Key, version: int) -> None:
        self._deleted.pop(key, None)
        self._deleted[key] = version
        if len(self._deleted) > MAX_DELETED:
            del self._deleted[next(iter(self._deleted))]
        before = self._records.pop(key, None)
        if before is not None:
            self._changed(before, None)
