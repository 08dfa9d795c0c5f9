"""Watches of the protocol over watches of the API server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import Resource
from migctl.backends.kubernetes.client.transport import Query
from migctl.backends.protocol import Change, ChangeType, Expired, Listing
from migctl.backoff import delay

WATCH_S = 300.0
EARLY_S = 5.0


async def follow(
    api: KubernetesApi,
    resource: Resource[Any],
    since: str,
    make: Callable[[Any], Any],
    namespace: str = "",
    *,
    query: Query | None = None,
) -> AsyncGenerator[Change[Any], None]:
    """Every change after `since`, one request after another; a pause after those that bring nothing and end early."""
    if not (since.isascii() and since.isdigit()):
        raise Expired(
            f"no changes are known from version {since!r} on", hint="list again and watch from the new version"
        )
    version, hasty = since, 0
    while True:
        began, seen = time.monotonic(), version
        watch = api.watch(resource, version, WATCH_S, namespace=namespace, query=query)
        async with contextlib.aclosing(watch) as batches:
            async for events in batches:
                for event in events:
                    version = event.object.metadata.resource_version
                    if event.type != "BOOKMARK":
                        yield Change(ChangeType(event.type), make(event.object))
        hasty = hasty + 1 if version == seen and time.monotonic() - began < EARLY_S else 0
        if hasty > 1:
            await asyncio.sleep(delay(hasty - 1, resource.plural).total_seconds())


async def watch_by_rereading(
    api: KubernetesApi,
    resources: Iterable[Resource[Any]],
    since: str,
    read: Callable[[str | None], Awaitable[Listing[Any]]],
) -> AsyncGenerator[Change[Any], None]:
    """Changes of objects that are made of several kinds: whenever one of those changes, they are read anew.

    For a user who watches, not for controllers: what is there at the beginning counts as known.
    """
    known = {(obj.meta.project, obj.meta.name, obj.meta.uid): obj for obj in (await read(None)).items}
    changed = asyncio.Event()
    followers = [asyncio.create_task(_signal(api, resource, since, changed)) for resource in resources]
    try:
        while True:
            await changed.wait()
            changed.clear()
            for follower in followers:
                if follower.done():
                    follower.result()
            now = {(obj.meta.project, obj.meta.name, obj.meta.uid): obj for obj in (await read(None)).items}
            for change in _differences(known, now):
                yield change
            known = now
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


async def _signal(api: KubernetesApi, resource: Resource[Any], since: str, changed: asyncio.Event) -> None:
    """Set `changed` for every change, and for the error that ends the watch."""
    try:
        async for _ in follow(api, resource, since, lambda raw: raw):
            changed.set()
    finally:
        changed.set()


def _differences(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> Iterator[Change[Any]]:
    for key, obj in after.items():
        if key not in before:
            yield Change(ChangeType.ADDED, obj)
        elif before[key] != obj:
            yield Change(ChangeType.MODIFIED, obj)
    for key, obj in before.items():
        if key not in after:
            yield Change(ChangeType.DELETED, obj)
