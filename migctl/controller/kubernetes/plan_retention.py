"""Keeps the newest plans and deletes older ones, so that the history does not fill the API server."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import structlog

from migctl.backends.kubernetes.client.api import Api
from migctl.backends.kubernetes.client.kinds import Bare
from migctl.backends.kubernetes.client.resources import GROUP, PLANS, Resource
from migctl.backends.protocol import ControlPlaneError, NotFound

log = structlog.get_logger()

KEPT = 200
RETRY_S = 30.0
NAMES = Resource(GROUP, PLANS.plural, Bare, namespaced=False)


class PlanHistory:
    """Plans by age. `note` hears of every one that is stored."""

    def __init__(self, api: Api, kept: int = KEPT) -> None:
        self._api = api
        self.kept = kept
        self._names: deque[str] = deque()
        self._grown = asyncio.Event()

    def note(self, resource: Resource[Any], answer: bytes) -> None:
        self._names.append(NAMES.one.decode(answer).metadata.name)
        self._grown.set()

    async def run(self) -> None:
        """Trim the history whenever it has grown, until cancelled."""
        while True:
            try:
                found, _ = await self._api.list_objects(NAMES)
                oldest_first = sorted(found, key=lambda plan: int(plan.metadata.resource_version))
                self._names = deque(plan.metadata.name for plan in oldest_first)
                while True:
                    await self._trim()
                    await self._grown.wait()
                    self._grown.clear()
            except ControlPlaneError as error:
                log.debug("old plans stay", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _trim(self) -> None:
        while len(self._names) > self.kept:
            try:
                await self._api.delete(NAMES, self._names[0])
            except NotFound:
                log.debug("somebody else deleted a plan", plan=self._names[0])
            self._names.popleft()
