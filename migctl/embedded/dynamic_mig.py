"""MIG modes of a node: its object's desired modes carried to the agent, the results written to its status.

The rule is nodeagent/node_status/dynamic_mig.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from migctl.backends.mirror import Mirror
from migctl.backends.protocol import ControlPlane
from migctl.objects import DynamicMig, GpuNode, NodeStatus
from nodeagent.gpu.mig_mode import Outcome
from nodeagent.node_status.dynamic_mig import DesiredModes, ModeStatus, ModeStatuses, ModeSwitch, is_done, reconcile

RETRY_S = 5.0


class NodeModeSwitch(ModeSwitch, Protocol):
    """The GPUs of a node."""

    @property
    def node(self) -> str: ...


class DynamicMigSwitch:
    """Brings one node's MIG modes to the desired ones of its object. `report` publishes the node's report."""

    def __init__(
        self, control_plane: ControlPlane, mirror: Mirror, gpus: NodeModeSwitch, report: Callable[[], Awaitable[None]]
    ) -> None:
        self._control_plane = control_plane
        self._mirror = mirror
        self._gpus = gpus
        self._report = report

    async def run(self) -> None:
        """Follow the desired modes until cancelled."""
        seen = -1
        while True:
            node = self._mirror.get(GpuNode, self._gpus.node)
            unfinished = node is not None and await self.step(node)
            seen = await self._mirror.wait(seen, timeout=RETRY_S if unfinished else None)

    async def step(self, node: GpuNode) -> bool:
        """One step towards the desired modes; whether it has to be tried again."""
        desired, status = DesiredModes(node.spec.dynamic_mig, node.spec.gpu_dynamic_mig), _decoded(node.status)
        if is_done(desired, status):
            return False
        changed = await asyncio.to_thread(reconcile, self._gpus, desired, status)
        if changed != status:
            if changed != ModeStatuses():
                await self._report()
            await self._write(node, status, changed)
        return not is_done(desired, changed)

    async def _write(self, node: GpuNode, before: ModeStatuses, now: ModeStatuses) -> None:
        ended: dict[str, None] = dict.fromkeys(before.gpus.keys() - now.gpus.keys())
        gpus = ended | {gpu: _encoded(status) for gpu, status in now.gpus.items()}
        # records: of their fields an older answer must not remain
        changes = {"status": {"dynamicMig": now.node and _encoded(now.node), "gpuDynamicMig": gpus}}
        await self._mirror.absorb(await self._control_plane.patch(node, changes))


def _encoded(status: ModeStatus) -> DynamicMig:
    return DynamicMig(status.wanted, status.outcome, status.message)


def _decoded(stored: NodeStatus) -> ModeStatuses:
    gpus = {gpu: _decoded_one(one) for gpu, one in stored.gpu_dynamic_mig.items()}
    return ModeStatuses(None if stored.dynamic_mig is None else _decoded_one(stored.dynamic_mig), gpus)


def _decoded_one(stored: DynamicMig) -> ModeStatus:
    return ModeStatus(stored.wanted, Outcome(stored.outcome), stored.message)
