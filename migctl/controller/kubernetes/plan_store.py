"""The controller's plans: written whole, listed by metadata, watched without a watch of the API server.

The leader alone creates plans, and its role grants no watch of them: its watch yields the plans that it created.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.kinds import PartialObjectMetadata
from migctl.backends.kubernetes.client.resources import PLANS, Resource
from migctl.backends.kubernetes.meaning import custom
from migctl.backends.kubernetes.stores.custom_store import CustomStore
from migctl.backends.kubernetes.stores.watching import follow
from migctl.backends.protocol import Change, ChangeType, Listing
from migctl.objects import APPLY_LABEL, REQUESTED, PlacementPlan

LABELLED = {"labelSelector": f"{APPLY_LABEL}={REQUESTED}"}
METADATA = Resource(PLANS.api, PLANS.plural, PartialObjectMetadata, namespaced=False)


class ControllerPlans(CustomStore[PlacementPlan]):
    """Plans as their retention needs them. One watch at a time."""

    def __init__(self, api: KubernetesApi) -> None:
        super().__init__(api, PLANS, custom.plan, _ignore)
        self._created: asyncio.Queue[PlacementPlan] = asyncio.Queue()

    async def list(self, project: str | None) -> Listing[PlacementPlan]:
        """The stored plans without their specs, so that one of another version of migctl is listed too."""
        found, version = await self._api.list_objects(METADATA)
        return Listing(tuple(PlacementPlan(custom.meta(raw.metadata)) for raw in found), version)

    async def create(self, obj: PlacementPlan) -> PlacementPlan:
        """Store a plan; the watch yields it."""
        created = await super().create(obj)
        self._created.put_nowait(created)
        return created

    async def watch(self, since: str) -> AsyncIterator[Change[PlacementPlan]]:
        """Plans that this process created after `since`."""
        while True:
            created = await self._created.get()
            if int(created.meta.version) > int(since):
                yield Change(ChangeType.ADDED, created)


class RequestedPlans(CustomStore[PlacementPlan]):
    """The proposals that somebody wants applied, and no other plan."""

    def __init__(self, api: KubernetesApi) -> None:
        super().__init__(api, PLANS, custom.plan, _ignore)

    async def list(self, project: str | None) -> Listing[PlacementPlan]:
        found, version = await self._api.list_objects(PLANS, query=LABELLED)
        return Listing(tuple(custom.plan(raw) for raw in found), version)

    def watch(self, since: str) -> AsyncIterator[Change[PlacementPlan]]:
        return follow(self._api, PLANS, since, custom.plan, query=LABELLED)


def _ignore(resource: Resource[Any], answer: bytes) -> None:
    """No cache holds plans."""
