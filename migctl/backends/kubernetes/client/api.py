"""Verbs on resources: get, list, watch, create, patch, delete, by paths and JSON.

A list comes in pages; a watch in batches, as many events as arrived together.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import msgspec

from migctl.backends.kubernetes.client.errors import ApiStatus, refusal
from migctl.backends.kubernetes.client.resources import K, Page, Resource, WatchEvent
from migctl.backends.kubernetes.client.transport import MERGE_PATCH, Query, Transport
from migctl.backends.protocol import ControlPlaneError, Expired, Unavailable

PAGE = 500
SILENCE_S = 150.0
ERROR = b'{"type":"ERROR"'


class KubernetesApi:
    """One API server. Each verb raises the protocol's ControlPlaneError; bytes are JSON."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def get(self, resource: Resource[Any], name: str, namespace: str = "") -> bytes:
        """One object as JSON."""
        return await self.transport.request("GET", resource.path(namespace, name))

    async def list_objects(
        self, resource: Resource[K], namespace: str = "", *, query: Query | None = None, page: int = PAGE
    ) -> tuple[list[K], str]:
        """All objects of a namespace, or of all, and the version they are of."""
        objects: list[K] = []
        version = ""
        async for found in self.pages(resource, namespace, query=query, page=page):
            objects.extend(found.items)
            version = found.metadata.resource_version
        return objects, version

    async def pages(
        self, resource: Resource[K], namespace: str = "", *, query: Query | None = None, page: int = PAGE
    ) -> AsyncGenerator[Page[K], None]:
        """The same a page at a time; all of them are of one version."""
        token = ""
        while True:
            parameters = {"limit": str(page), **(query or {}), **({"continue": token} if token else {})}
            answer = resource.page.decode(await self.transport.request("GET", resource.path(namespace), parameters))
            yield answer
            token = answer.metadata.continue_
            if not token:
                return

    async def watch(
        self,
        resource: Resource[Any],
        since: str,
        seconds: float,
        silence_s: float = SILENCE_S,
        namespace: str = "",
        *,
        query: Query | None = None,
    ) -> AsyncGenerator[list[WatchEvent], None]:
        """Batches of events after `since`, for `seconds` at most. The first is empty: the watch is open.

        Raises Expired, and Unavailable after `silence_s` without a byte.
        """
        parameters = {
            **(query or {}),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        decode = resource.event.decode
        async with self.transport.stream(resource.path(namespace), parameters, silence_s) as pieces:
            yield []
            async with contextlib.aclosing(_lines(pieces)) as batches:
                async for lines in batches:
                    failed = next((line for line in lines if line.startswith(ERROR)), None)
                    yield [decode(line) for line in lines if not line.startswith(ERROR)]
                    if failed is not None:
                        raise _failure(failed)

    async def create(
        self, resource: Resource[Any], body: Any, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> bytes:
        """POST an object, or one of its subresources; returns what was stored."""
        path = resource.path(namespace, name, subresource)
        return await self.transport.request("POST", path, body=msgspec.json.encode(body))

    async def patch(
        self,
        resource: Resource[Any],
        name: str,
        changes: Any,
        namespace: str = "",
        *,
        subresource: str = "",
        content_type: str = MERGE_PATCH,
    ) -> bytes:
        """PATCH an object, or one of its subresources; returns what is stored then."""
        path = resource.path(namespace, name, subresource)
        return await self.transport.request("PATCH", path, body=msgspec.json.encode(changes), content_type=content_type)

    async def delete(
        self, resource: Resource[Any], name: str, namespace: str = "", *, options: Mapping[str, Any] | None = None
    ) -> bytes:
        """DELETE an object; what it owns is deleted in the background. `options`: fields of DeleteOptions."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", **(options or {})}
        return await self.transport.request("DELETE", resource.path(namespace, name), body=msgspec.json.encode(body))


class _Failure(msgspec.Struct, frozen=True):
    object: ApiStatus


def _failure(line: bytes) -> ControlPlaneError:
    """What an ERROR event stands for."""
    status = msgspec.json.decode(line, type=_Failure).object
    if status.code == 410:
        return Expired(status.message, hint="list again and watch from the new version")
    return refusal(status.code or 500, msgspec.json.encode(status))


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[list[bytes], None]:
    """Whole lines out of pieces cut anywhere, as many as came at once. A half line at the end is an error."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if lines:
            yield [line for line in lines if line]
    if rest:
        raise Unavailable("a watch was cut off in the middle of an event")
