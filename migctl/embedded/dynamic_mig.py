"""MIG mode of a node: its object's desired mode carried to the agent, the result written to its status.

The rule is nodeagent/node_status/dynamic_mig.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from migctl.backends.mirror import Mirror
from migctl.backends.protocol import ControlPlane
from migctl.objects import DynamicMig, GpuNode
from nodeagent.gpu.mig_mode import Outcome
from nodeagent.node_status.dynamic_mig import ModeStatus, ModeSwitch, is_done, reconcile

RETRY_S = 5.0


class NodeModeSwitch(ModeSwitch, Protocol):
    """The GPUs of a node."""

    @property
    def node(self) -> str: ...


class DynamicMigSwitch:
    """Brings one node's MIG mode to the desired one of its object. `report` publishes the node's report."""

    def __init__(
        self, control_plane: ControlPlane, mirror: Mirror, gpus: NodeModeSwitch, report: Callable[[], Awaitable[None]]
    ) -> None:
        self._control_plane = control_plane
        self._mirror = mirror
        self._gpus = gpus
        self._report = report

    async def run(self) -> None:
        """Follow the desired mode until cancelled."""
        seen = -1
        while True:
            node = self._mirror.get(GpuNode, self._gpus.node)
            unfinished = node is not None and await self.step(node)
            seen = await self._mirror.wait(seen, timeout=RETRY_S if unfinished else None)

    async def step(self, node: GpuNode) -> bool:
        """One step towards the desired mode; whether it has to be tried again."""
        desired, status = node.spec.dynamic_mig, _decoded(node.status.dynamic_mig)
        if is_done(desired, status):
            return False
        changed = await asyncio.to_thread(reconcile, self._gpus, desired, status)
        if changed != status:
            if changed is not None:
                await self._report()
            await self._write(node, changed)
        return not is_done(desired, changed)

    async def _write(self, node: GpuNode, status: ModeStatus | None) -> None:
        stored = None if status is None else DynamicMig(status.wanted, status.outcome, status.message)
        changes = {"status": {"dynamicMig": stored}}  # the record: of its fields an older answer must not remain
        await self._mirror.absorb(await self._control_plane.patch(node, changes))


def _decoded(stored: DynamicMig | None) -> ModeStatus | None:
    return None if stored is None else ModeStatus(stored.wanted, Outcome(stored.outcome), stored.message)
