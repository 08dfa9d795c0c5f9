"""What the stand-ins share: each hears of every change of the kinds it cares for, and writes as Kubernetes does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.storage import Json, Key, copied
from tests.fakes.kubernetes_api.users import KUBERNETES

MERGE = "application/merge-patch+json"


class StandIn:
    """One component of Kubernetes."""

    watches: tuple[str, ...] = ()

    def __init__(self, operations: Operations) -> None:
        self.api = operations

    async def handle(self, plural: str, change: str, obj: Json) -> None:
        """React to a change; `obj` is the state that the change left."""
        raise NotImplementedError

    def get(self, plural: str, namespace: str, name: str) -> Json | None:
        return self.api.storage.get(plural, namespace, name)

    def create(self, plural: str, namespace: str, obj: Json) -> Json | None:
        with contextlib.suppress(Refused):
            return self.api.create(KUBERNETES, BY_PLURAL[plural], namespace, obj)
        return None

    def delete(self, plural: str, obj: Json, options: Json | None = None) -> None:
        with contextlib.suppress(Refused):
            self.api.delete(
                BY_PLURAL[plural],
                obj["metadata"].get("namespace", ""),
                obj["metadata"]["name"],
                options,
                user=KUBERNETES,
            )

    def update(self, plural: str, obj: Json, changed: Json) -> None:
        """Store a changed object, metadata, spec and status alike."""
        if changed == obj:
            return
        with contextlib.suppress(Refused):
            kind = BY_PLURAL[plural]
            if kind.status and changed.get("status") != obj.get("status"):
                obj = self.api.change(
                    KUBERNETES, kind, obj, {**copied(obj), "status": changed.get("status", {})}, "status"
                )
                changed = {**changed, "metadata": {**changed["metadata"], "resourceVersion": _version(obj)}}
            self.api.change(KUBERNETES, kind, obj, copied(changed))

    def set_status(self, plural: str, obj: Json, **fields: Any) -> None:
        newest = self.get(plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if newest is None or newest["metadata"]["uid"] != obj["metadata"]["uid"]:
            return
        changed = copied(newest)
        changed.setdefault("status", {}).update(fields)
        self.update(plural, newest, changed)


def _version(obj: Json) -> str:
    version: str = obj["metadata"]["resourceVersion"]
    return version


def condition(obj: Json, kind: str) -> Json:
    found: Json = next((c for c in obj.get("status", {}).get("conditions", []) if c["type"] == kind), {})
    return found


def with_condition(obj: Json, kind: str, **fields: str) -> list[Json]:
    """The object's conditions with one of them set."""
    others = [c for c in obj.get("status", {}).get("conditions", []) if c["type"] != kind]
    return [*others, {"type": kind, **fields}]


def owner(kind: str, obj: Json) -> Json:
    return {
        "apiVersion": BY_KIND[kind],
        "kind": kind,
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": True,
    }


BY_KIND = {kind.kind: kind.api for kind in BY_PLURAL.values()}


async def feed(operations: Operations, every: Sequence[StandIn]) -> None:
    """Tell every stand-in of every change, in order, until cancelled; more may join later."""
    queue: asyncio.Queue[tuple[str, str, Json]] = asyncio.Queue()
    plurals = sorted({plural for stand_in in every for plural in stand_in.watches})
    async with asyncio.TaskGroup() as tasks:
        for plural in plurals:
            tasks.create_task(_tail(operations, plural, queue))
        while True:
            plural, change, obj = await queue.get()
            for stand_in in every:
                if plural in stand_in.watches:
                    await stand_in.handle(plural, change, obj)


async def _tail(operations: Operations, plural: str, queue: asyncio.Queue[tuple[str, str, Json]]) -> None:
    async for change, obj in changes(operations, plural):
        queue.put_nowait((plural, change, obj))


async def changes(operations: Operations, plural: str) -> AsyncIterator[tuple[str, Json]]:
    """What there is, then what changes; where changes were forgotten before they were told, what there is once more."""
    section = operations.storage.section(plural)
    known: dict[Key, Json] = {}
    seen = 0
    while True:
        news = section.news
        if seen < section.compacted or not seen:
            told = [("ADDED", stored.object) for stored in section.objects.values()]
            told += [("DELETED", known[key]) for key in known.keys() - section.objects.keys()]
            seen = operations.storage.revision
        else:
            late = [entry for entry in section.log[-_tail_length(section.log, seen) :] if entry.revision > seen]
            told = [(entry.type, entry.stored.object) for entry in late]
            seen = max([seen, *(entry.revision for entry in late)])
        for change, obj in told:
            key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            if change == "DELETED":
                known.pop(key, None)
            else:
                known[key] = obj
            yield change, obj
        if section.news is news:
            await news.wait()


def _tail_length(log: list[Any], seen: int) -> int:
    length = 0
    while length < len(log) and log[-1 - length].revision > seen:
        length += 1
    return max(length, 1)
