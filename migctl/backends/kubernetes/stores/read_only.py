"""A store that refuses writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from migctl.backends.protocol import Change, Forbidden


class ReadOnlyStore:
    """A store that only reads, but for what a subclass adds. `PLURAL`: its kind, in the plural."""

    PLURAL = "objects"

    async def create(self, obj: Any) -> Any:
        raise Forbidden(f"{self.PLURAL} are made by Kubernetes itself")

    async def patch(self, obj: Any, changes: Mapping[str, Any], fenced: bool) -> Any:
        raise Forbidden(f"{self.PLURAL} are changed by migctl's controller only")

    async def delete(self, obj: Any) -> None:
        raise Forbidden(f"{self.PLURAL} are removed by Kubernetes itself")

    def watch(self, since: str) -> AsyncIterator[Change[Any]]:
        raise Forbidden(f"{self.PLURAL} are watched through the cluster's live copy")
