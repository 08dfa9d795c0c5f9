"""This machine's node object: the agent's newest report, written whenever it differs.

The rule is nodeagent/node_status/publication.py's.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from msgspec.structs import replace

from migctl.backends.merge import difference
from migctl.backends.mirror import Mirror
from migctl.backends.protocol import AlreadyExists, ControlPlane, NotFound
from migctl.clock import Clock
from migctl.objects import GpuNode, Meta
from nodeagent.contract.allocation import NodeReport
from nodeagent.node_status.publication import Publication, status_fields

PUBLISH_INTERVAL_S = 5.0


class Reporter(Protocol):
    """The agent's report. The call blocks."""

    def report(self) -> NodeReport: ...


class NodePublisher:
    """Publishes reports, one at a time; what changed meanwhile is in the next one."""

    def __init__(self, control_plane: ControlPlane, mirror: Mirror, agent: Reporter, clock: Clock) -> None:
        self._control_plane = control_plane
        self._mirror = mirror
        self._agent = agent
        self._clock = clock
        self._lock = asyncio.Lock()
        self._publication = Publication(heartbeat_s=None)
        self.first = asyncio.Event()
        """Set once a report has been published."""

    async def run(self) -> None:
        """Publish every PUBLISH_INTERVAL_S, for what others change, until cancelled."""
        while True:
            await self.publish()
            await asyncio.sleep(PUBLISH_INTERVAL_S)

    async def publish(self) -> None:
        """Write the agent's report to the node object, where it differs."""
        async with self._lock:
            report = await asyncio.to_thread(self._agent.report)
            if not self._publication.is_due(report, now=0.0):
                return
            node = await self._node(report.node)
            status = replace(node.status, **status_fields(report, self._clock()))
            changes = difference(node, replace(node, status=status))
            await self._mirror.absorb(await self._control_plane.patch(node, changes))
            self._publication.published(report, now=0.0)
            self.first.set()

    async def _node(self, name: str) -> GpuNode:
        try:
            return await self._control_plane.get(GpuNode, name)
        except NotFound:
            try:
                return await self._control_plane.create(GpuNode(meta=Meta(name=name)))
            except AlreadyExists:
                return await self._control_plane.get(GpuNode, name)
