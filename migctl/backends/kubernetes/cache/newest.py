"""Kept: the newest version of every object of one kind, whatever order news of it arrives in.

An event may come twice, late, or after the answer to a write of ours that it tells of. Versions of
one cluster grow with every write, so an older one is simply dropped; what was deleted is
remembered for a while, so that a late event does not bring it back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from migctl.backends.kubernetes.cache.records import Record

S = TypeVar("S")
R = TypeVar("R", bound=Record)

Key = tuple[str, str]
"""Namespace and name."""

GRAVES = 10_000


class Kept(Generic[S, R]):
    """A reflector's sink of objects S, kept as records R; None stands for an object that is not kept.

    changed  hears of every change: the record before and after it, None where there is none
    """

    def __init__(self, record: Callable[[S], R | None], changed: Callable[[R | None, R | None], None]) -> None:
        self._record = record
        self._changed = changed
        self._kept: dict[Key, R] = {}
        self._graves: dict[Key, int] = {}

    @property
    def all(self) -> Mapping[Key, R]:
        return MappingProxyType(self._kept)

    def get(self, name: str, namespace: str = "") -> R | None:
        return self._kept.get((namespace, name))

    def put(self, obj: S) -> None:
        record = self._record(obj)
        if record is not None:
            self._put(record)

    def drop(self, obj: S) -> None:
        record = self._record(obj)
        if record is None:
            return
        key = (record.namespace, record.name)
        kept = self._kept.get(key)
        if kept is None or kept.version <= record.version:
            self._bury(key, record.version)

    def keep_only(self, keys: Collection[Key], version: str) -> None:
        """As of `version` no others than these are there; what was written since stays."""
        at = int(version)
        for key in [key for key, kept in self._kept.items() if key not in keys and kept.version <= at]:
            self._bury(key, at)

    def lose(self, record: R) -> None:
        """The object of this record turned out to be gone."""
        kept = self._kept.get((record.namespace, record.name))
        if kept is not None and kept.uid == record.uid:
            self._bury((record.namespace, record.name), kept.version)

    def _put(self, record: R) -> None:
        key = (record.namespace, record.name)
        before = self._kept.get(key)
        if record.version <= (before.version if before else self._graves.get(key, -1)):
            return
        self._kept[key] = record
        self._changed(before, record)

    def _bury(self, key: Key, version: int) -> None:
        self._graves.pop(key, None)
        self._graves[key] = version
        if len(self._graves) > GRAVES:
            del self._graves[next(iter(self._graves))]
        before = self._kept.pop(key, None)
        if before is not None:
            self._changed(before, None)
