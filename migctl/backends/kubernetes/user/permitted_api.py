"""What a user may read: all namespaces, or else those of the projects that they have a role in.

A role in a project's namespace lets nobody list a kind in all of them. A list of all namespaces then
becomes one list per project; the projects that refuse are remembered, so that commands can say what is not shown.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from migctl.backends.kubernetes.client.api import SILENCE_S, KubernetesApi
from migctl.backends.kubernetes.client.resources import PROJECTS, K, Resource, WatchEvent
from migctl.backends.kubernetes.client.transport import Query, Transport
from migctl.backends.pod_logs import interleaved
from migctl.backends.protocol import Forbidden

EVERYWHERE = ("",)
Listed = tuple[list[Any], str]


class PermittedApi(KubernetesApi):
    """A KubernetesApi whose lists and watches of all namespaces cover what the caller may read.

    unseen  projects whose objects the caller may not list, as far as that came up
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.unseen: set[str] = set()
        self._visible: dict[Resource[Any], tuple[str, ...]] = {}
        self._listing: dict[tuple[Resource[Any], str], asyncio.Task[Listed]] = {}

    async def list_objects(
        self, resource: Resource[K], namespace: str = "", *, query: Query | None = None, page: int = 500
    ) -> tuple[list[K], str]:
        """As KubernetesApi's. Callers of the same list at the same time share one answer."""
        if query:
            return await super().list_objects(resource, namespace, query=query, page=page)
        key = (resource, namespace)
        if key not in self._listing:
            self._listing[key] = asyncio.ensure_future(self._list_visible(resource, namespace, page))
            self._listing[key].add_done_callback(lambda _: self._listing.pop(key, None))
        return await asyncio.shield(self._listing[key])

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
        """As KubernetesApi's, of the namespaces that a list of all of them has found visible."""
        scopes = (namespace,) if namespace else self._visible.get(resource, EVERYWHERE)
        watches = [
            super(PermittedApi, self).watch(resource, since, seconds, silence_s, scope, query=query) for scope in scopes
        ]
        if len(watches) == 1:
            async with contextlib.aclosing(watches[0]) as batches:
                async for batch in batches:
                    yield batch
            return
        async with contextlib.aclosing(interleaved(watches)) as batches:
            async for batch in batches:
                yield batch

    async def _list_visible(self, resource: Resource[Any], namespace: str, page: int) -> Listed:
        async def listed(scope: str) -> Listed:
            return await super(PermittedApi, self).list_objects(resource, scope, page=page)

        if namespace or not resource.namespaced:
            return await listed(namespace)
        if resource not in self._visible:
            try:
                found = await listed("")
                self._visible[resource] = EVERYWHERE
                return found
            except Forbidden as refused:
                return await self._piecewise(resource, listed, refused)
        return _concatenated([await listed(scope) for scope in self._visible[resource]])

    async def _piecewise(
        self, resource: Resource[Any], listed: Callable[[str], Awaitable[Listed]], refused: Forbidden
    ) -> Listed:
        """The lists of the projects that may be seen. Raises `refused` where there is none."""
        projects, version = await super().list_objects(PROJECTS)
        names = sorted(project.metadata.name for project in projects)
        answers = await asyncio.gather(*(listed(name) for name in names), return_exceptions=True)
        found = []
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Forbidden):
                self.unseen.add(name)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found.append((name, answer))
        if names and not found:
            raise refused
        self._visible[resource] = tuple(name for name, _ in found)
        return _concatenated([answer for _, answer in found] or [([], version)])


def _concatenated(answers: list[Listed]) -> Listed:
    """One list of several; a watch of it begins where the oldest of them stood."""
    return [obj for objects, _ in answers for obj in objects], str(min(int(version) for _, version in answers))
