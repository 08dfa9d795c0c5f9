"""GPU nodes as users see and cordon them: labels and cordons are those of Kubernetes' own Nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from migctl.backends.kubernetes.client.resources import GPU_NODES, NODES
from migctl.backends.kubernetes.meaning import custom, record_of
from migctl.backends.kubernetes.meaning.node_affinity import cordoned
from migctl.backends.kubernetes.meaning.records import NodeRecord
from migctl.backends.kubernetes.stores.custom_store import CustomStore
from migctl.backends.kubernetes.user.permitted_api import PermittedApi
from migctl.backends.merge import plain
from migctl.backends.protocol import Forbidden, Listing, NotFound
from migctl.objects import GpuNode


class UserNodes(CustomStore[GpuNode]):
    """The store of GPU nodes. Whoever may not see Nodes sees neither labels nor cordons."""

    def __init__(self, api: PermittedApi) -> None:
        super().__init__(api, GPU_NODES, custom.node, lambda resource, answer: None)

    async def list(self, project: str | None) -> Listing[GpuNode]:
        found, own = await asyncio.gather(super().list(project), self._own())
        return Listing(tuple(shown(node, own.get(node.meta.name)) for node in found.items), found.version)

    async def get(self, name: str, project: str) -> GpuNode:
        return shown(await super().get(name, project), await self._own_of(name))

    async def patch(self, obj: GpuNode, changes: Mapping[str, Any], fenced: bool) -> GpuNode:
        """As of any object; `spec.cordoned` is set at the Node, and taken back at both."""
        wanted = plain(changes)
        spec = wanted.get("spec") or {}
        if "cordoned" in spec:
            own = {"spec": {"unschedulable": True if spec["cordoned"] else None}}
            await self._api.patch(NODES, obj.meta.name, own)
            wanted = {**wanted, "spec": {**spec, "cordoned": None}}
        return shown(await super().patch(obj, wanted, fenced), await self._own_of(obj.meta.name))

    async def _own_of(self, name: str) -> NodeRecord | None:
        try:
            return record_of.node(NODES.one.decode(await self._api.get(NODES, name)))
        except (Forbidden, NotFound):
            return None

    async def _own(self) -> dict[str, NodeRecord]:
        try:
            nodes, _ = await self._api.list_objects(NODES)
        except Forbidden:
            return {}
        return {node.metadata.name: record_of.node(node) for node in nodes}


def shown(node: GpuNode, own: NodeRecord | None) -> GpuNode:
    """The node with what Kubernetes' own Node says of it."""
    if own is None:
        return node
    spec = replace(node.spec, cordoned=True) if cordoned(own) else node.spec
    return replace(node, meta=replace(node.meta, labels={**node.meta.labels, **own.labels}), spec=spec)
