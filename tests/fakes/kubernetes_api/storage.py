"""Objects, one revision counter for all of them, and a log per resource that watches read."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it stands. `json` is its text; neither is ever changed."""

    object: Json
    json: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    revision: int
    type: str
    stored: Stored


@dataclass
class Shelf:
    """All objects of one resource, and their latest changes."""

    objects: dict[Key, Stored] = field(default_factory=dict)
    log: list[LogEntry] = field(default_factory=list)
    compacted: int = 0
    """Changes up to this revision are forgotten."""
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Storage:
    """Where everything is. `kept`: changes a shelf remembers for watches, at least."""

    def __init__(self, kept: int = 100_000) -> None:
        self.revision = 1
        self._kept = kept
        self._shelves: dict[str, Shelf] = {}
        self._uids = itertools.count(1)

    def shelf(self, resource: str) -> Shelf:
        return self._shelves.setdefault(resource, Shelf())

    def resources(self) -> Iterable[str]:
        return tuple(self._shelves)

    def uid(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._uids):012x}"

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        found = self.shelf(resource).objects.get((namespace, name))
        return found.object if found else None

    def all(self, resource: str, namespace: str = "") -> Iterator[Json]:
        """Objects of a namespace, or of all."""
        for key, stored in list(self.shelf(resource).objects.items()):
            if not namespace or key[0] == namespace:
                yield stored.object

    def put(self, resource: str, obj: Json) -> Stored:
        """Store a new state of an object. The object becomes the storage's own."""
        shelf = self.shelf(resource)
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        kind = "MODIFIED" if key in shelf.objects else "ADDED"
        stored = self._stamped(obj)
        shelf.objects[key] = stored
        self._note(shelf, kind, stored)
        return stored

    def remove(self, resource: str, namespace: str, name: str, last: Json | None = None) -> Stored:
        """Remove an object. `last`: the state it leaves with, where that is not the stored one."""
        shelf = self.shelf(resource)
        before = shelf.objects.pop((namespace, name)).object
        stored = self._stamped(copied(before if last is None else last))
        self._note(shelf, "DELETED", stored)
        return stored

    def compact(self, resource: str) -> None:
        """Forget the log, so that watches from the past are too late."""
        shelf = self.shelf(resource)
        shelf.log.clear()
        shelf.compacted = self.revision

    def _stamped(self, obj: Json) -> Stored:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        return Stored(obj, msgspec.json.encode(obj), self.revision)

    def _note(self, shelf: Shelf, kind: str, stored: Stored) -> None:
        shelf.log.append(LogEntry(stored.revision, kind, stored))
        if len(shelf.log) > 2 * self._kept:
            shelf.compacted = shelf.log[-self._kept - 1].revision
            del shelf.log[: -self._kept]
        shelf.news.set()
        shelf.news = asyncio.Event()


def copied(obj: Json) -> Json:
    """A deep copy of JSON."""
    copy: Json = msgspec.json.decode(msgspec.json.encode(obj))
    return copy
