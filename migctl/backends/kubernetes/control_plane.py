"""The protocol's ControlPlane on Kubernetes: KubernetesControlPlane.

Projects, GPU nodes and plans are custom resources; events are Kubernetes' own; a claim is a pod and
its ResourceClaim; a workload is the Job, StatefulSet, Deployment or bare pod that makes its pods.
The stores decide where reads go: the controller's claims to its cache, a user's to the API server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from migctl.backends.protocol import Change, Listing
from migctl.objects import T


class Store(Protocol):
    """Objects of one kind."""

    async def list(self, project: str | None) -> Listing[Any]: ...

    async def get(self, name: str, project: str) -> Any: ...

    def watch(self, since: str) -> AsyncIterator[Change[Any]]: ...

    async def create(self, obj: Any) -> Any: ...

    async def patch(self, obj: Any, changes: Mapping[str, Any], fenced: bool) -> Any: ...

    async def delete(self, obj: Any) -> None: ...


class KubernetesControlPlane:
    """A ControlPlane of one store per kind."""

    def __init__(self, stores: Mapping[type[Any], Store]) -> None:
        self._stores = stores

    async def list(self, kind: type[T], project: str | None = None) -> Listing[T]:
        """None of a kind that a cluster does not have: roles and tokens are Kubernetes' own there."""
        if kind not in self._stores:
            return Listing((), "0")
        return await self._stores[kind].list(project)

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        found: T = await self._stores[kind].get(name, project)
        return found

    def watch(self, kind: type[T], since: str) -> AsyncIterator[Change[T]]:
        return self._stores[kind].watch(since)

    async def create(self, obj: T) -> T:
        created: T = await self._stores[type(obj)].create(obj)
        return created

    async def patch(self, obj: T, changes: Mapping[str, Any], *, fenced: bool = False) -> T:
        patched: T = await self._stores[type(obj)].patch(obj, changes, fenced)
        return patched

    async def delete(self, obj: T) -> None:
        await self._stores[type(obj)].delete(obj)
