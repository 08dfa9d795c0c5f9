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
class ResourceSection:
    """All objects of one resource, and their latest changes."""

    objects: dict[Key, Stored] = field(default_factory=dict)
    log: list[LogEntry] = field(default_factory=list)
    compacted: int = 0
    """Changes up to this revision are forgotten."""
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Storage:
    """All stored objects. `history`: changes that a section remembers for watches, at least."""

    def __init__(self, history: int = 100_000) -> None:
        self.revision = 1
        self._history = history
        self._sections: dict[str, ResourceSection] = {}
        self._uids = itertools.count(1)

    def section(self, resource: str) -> ResourceSection:
        return self._sections.setdefault(resource, ResourceSection())

    def resources(self) -> Iterable[str]:
        return tuple(self._sections)

    def uid(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._uids):012x}"

    def get(self, resource: str, namespace: str, name: str) -> Json | None:
        found = self.section(resource).objects.get((namespace, name))
        return found.object if found else None

    def all(self, resource: str, namespace: str = "") -> Iterator[Json]:
        """Objects of a namespace, or of all."""
        for key, stored in list(self.section(resource).objects.items()):
            if not namespace or key[0] == namespace:
                yield stored.object

    def put(self, resource: str, obj: Json) -> Stored:
        """Store a new state of an object. The object becomes the storage's own."""
        section = self.section(resource)
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        kind = "MODIFIED" if key in section.objects else "ADDED"
        stored = self._stamped(obj)
        section.objects[key] = stored
        self._note(section, kind, stored)
        return stored

    def remove(self, resource: str, namespace: str, name: str, last: Json | None = None) -> Stored:
        """Remove an object. `last`: the state it leaves with, where that is not the stored one."""
        section = self.section(resource)
        before = section.objects.pop((namespace, name)).object
        stored = self._stamped(copied(before if last is None else last))
        self._note(section, "DELETED", stored)
        return stored

    def compact(self, resource: str) -> None:
        """Forget the log, so that watches from the past are too late."""
        section = self.section(resource)
        section.log.clear()
        section.compacted = self.revision

    def _stamped(self, obj: Json) -> Stored:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        return Stored(obj, msgspec.json.encode(obj), self.revision)

    def _note(self, section: ResourceSection, kind: str, stored: Stored) -> None:
        section.log.append(LogEntry(stored.revision, kind, stored))
        if len(section.log) > 2 * self._history:
            section.compacted = section.log[-self._history - 1].revision
            del section.log[: -self._history]
        section.news.set()
        section.news = asyncio.Event()


def copied(obj: Json) -> Json:
    """A deep copy of JSON."""
    copy: Json = msgspec.json.decode(msgspec.json.encode(obj))
    return copy
