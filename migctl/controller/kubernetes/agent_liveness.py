"""Agents that stopped reporting: their nodes are marked not ready, and nothing new is placed there.

An agent that is stopped reports it, and the readiness of its pod shows one that fails. What remains is an agent that
hangs, or whose node lost the network: its report grows old. Age is measured by our own clock from when a report
arrived, so that a node whose clock is wrong does not count as silent.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import structlog

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import GPU_NODES
from migctl.backends.protocol import Conflict, ControlPlaneError, NotFound
from migctl.clock import Clock
from migctl.objects import GpuNode

log = structlog.get_logger()

SILENT_S = 90.0
"""An agent reports every 20 s."""
LOOK_AGAIN_S = 10.0


class Heartbeats:
    """When each agent reported last. A report counts from when it is first seen here: call every few seconds.

    So one who has just begun to look calls nobody silent: the report's own time is that of a clock that may be wrong,
    and a node that was silent before has been marked as not ready already.
    """

    def __init__(self, silent_s: float = SILENT_S) -> None:
        self._timeout = timedelta(seconds=silent_s)
        self._reported: dict[str, tuple[datetime, datetime]] = {}

    def silent_since(self, node: GpuNode, now: datetime) -> datetime | None:
        """Since when a node's agent has not reported; None where it is not silent, or never reported."""
        reported = node.status.reported
        if reported is None:
            return None
        known = self._reported.get(node.meta.name)
        if known is None or known[0] != reported:
            known = (reported, now)
        self._reported[node.meta.name] = known
        return known[1] if now - known[1] > self._timeout else None

    def keep_only(self, nodes: Collection[str]) -> None:
        """Forget the nodes that are gone."""
        for gone in self._reported.keys() - nodes:
            self._reported.pop(gone, None)


class AgentLivenessReconciler:
    """Sets the GpuNode of a silent agent to not ready. The agent's next report sets it to ready."""

    def __init__(self, api: KubernetesApi, cluster: ClusterCache, clock: Clock, heartbeats: Heartbeats) -> None:
        self._api = api
        self._cluster = cluster
        self._clock = clock
        self._heartbeats = heartbeats

    async def run(self) -> None:
        """Reconcile whenever something changed, and every LOOK_AGAIN_S, until cancelled."""
        async for _ in self._cluster.rounds(LOOK_AGAIN_S):
            try:
                await self.reconcile()
            except ControlPlaneError as error:
                log.warning("cannot say which agents are silent", error=str(error))

    async def reconcile(self) -> None:
        """Mark the nodes whose agents went silent since the last look."""
        nodes = self._cluster.all(GpuNode)
        self._heartbeats.keep_only({node.meta.name for node in nodes})
        for node in nodes:
            since = self._heartbeats.silent_since(node, self._clock())
            if since is not None and node.status.ready:
                await self._mark(
                    node, f"the agent is silent since {since:%Y-%m-%dT%H:%M:%SZ}: look at its pod and node"
                )

    async def _mark(self, node: GpuNode, message: str) -> None:
        """Refused by the API server once there is a newer report."""
        fence = {"uid": node.meta.uid, "resourceVersion": node.meta.version}
        body = {"metadata": fence, "status": {"ready": False, "message": message}}
        try:
            answer = await self._api.patch(GPU_NODES, node.meta.name, body, subresource="status")
        except (Conflict, NotFound):
            return
        self._cluster.take(GPU_NODES, answer)
        log.warning("not ready", node=node.meta.name, why=message)
