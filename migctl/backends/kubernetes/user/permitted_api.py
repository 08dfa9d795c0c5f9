"""What a person may see: all namespaces, or else those of the projects that are theirs.

A role in a project's namespace lets nobody list a kind in all of them. What is asked of all namespaces is then
asked of each project's in turn; those that refuse are remembered, so that people are told what they do not see.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from migctl.backends.kubernetes.client.api import SILENCE_S, KubernetesApi
from migctl.backends.kubernetes.client.resources import PROJECTS, K, Resource, WatchEvent
from migctl.backends.kubernetes.client.transport import Query, Transport
from migctl.backends.kubernetes.user.interleave import interleaved
from migctl.backends.protocol import Forbidden

EVERYWHERE = ("",)
Listed = tuple[list[Any], str]


class PermittedApi(KubernetesApi):
    """An Api whose lists and watches of all namespaces reach as far as the caller's permissions.

    unseen  projects whose objects the caller may not list, as far as that came up
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.unseen: set[str] = set()
        self._visible: dict[Resource[Any], tuple[str, ...]] = {}
        self._asking: dict[tuple[Resource[Any], str], asyncio.Task[Listed]] = {}

    async def list_objects(
        self, resource: Resource[K], namespace: str = "", *, query: Query | None = None, page: int = 500
    ) -> tuple[list[K], str]:
        """As Api's. Callers that ask the same at the same time share one answer."""
        if query:
            return await super().list_objects(resource, namespace, query=query, page=page)
        key = (resource, namespace)
        if key not in self._asking:
            self._asking[key] = asyncio.ensure_future(self._reach(resource, namespace, page))
            self._asking[key].add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(self._asking[key])

    async def watch(
        self, resource: Resource[Any], since: str, seconds: float, silence_s: float = SILENCE_S, namespace: str = ""
    ) -> AsyncGenerator[list[WatchEvent], None]:
        """As Api's, of the namespaces that a list of all of them has found visible."""
        scopes = (namespace,) if namespace else self._visible.get(resource, EVERYWHERE)
        watches = [super(PermittedApi, self).watch(resource, since, seconds, silence_s, scope) for scope in scopes]
        if len(watches) == 1:
            async with contextlib.aclosing(watches[0]) as batches:
                async for batch in batches:
                    yield batch
            return
        async with contextlib.aclosing(interleaved(watches)) as batches:
            async for batch in batches:
                yield batch

    async def _reach(self, resource: Resource[Any], namespace: str, page: int) -> Listed:
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
        return _joined([await listed(scope) for scope in self._visible[resource]])

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
        return _joined([answer for _, answer in found] or [([], version)])


def _joined(answers: list[Listed]) -> Listed:
    """One list of several; a watch of it begins where the oldest of them stood."""
    return [obj for objects, _ in answers for obj in objects], str(min(int(version) for _, version in answers))
