"""Kinds of objects that a cluster does not have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from migctl.backends.kubernetes.stores.read_only import ReadOnlyStore
from migctl.backends.protocol import Change, ChangeType, Forbidden, Listing, NotFound


class AbsentStore(ReadOnlyStore):
    """An empty list; creating is refused. `title`: the kind's name; `why`: the hint, what is there instead."""

    def __init__(self, title: str, why: str) -> None:
        self._title = title
        self._why = why

    async def list(self, project: str | None) -> Listing[Any]:
        return Listing((), "0")

    async def get(self, name: str, project: str) -> Any:
        raise NotFound(f"there is no {self._title} {name!r}", hint=self._why)

    async def watch(self, since: str) -> AsyncIterator[Change[Any]]:
        """Nothing ever happens to what is not there."""
        while True:
            await asyncio.Event().wait()
            yield Change(ChangeType.DELETED, None)

    async def create(self, obj: Any) -> Any:
        raise Forbidden(f"a cluster has no {self._title}s yet", hint=self._why)
