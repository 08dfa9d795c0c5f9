"""MIG mode as an admin wants it: the node's wish carried to the agent, the agent's answer back.

A wish that is not fulfilled yet is tried again (nodeagent/gpu/mode_switch.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from migctl.backends.mirror import Mirror
from migctl.backends.protocol import ControlPlane
from migctl.objects import DynamicMig, GpuNode, to_builtins
from nodeagent.gpu.mig_mode import Outcome
from nodeagent.gpu.mode_switch import ModeSwitch, carry_out

AGAIN_S = 5.0

log = structlog.get_logger()


class NamedSwitch(ModeSwitch, Protocol):
    """The agent of a node."""

    node: str


class DynamicMigSwitch:
    """Brings this machine's MIG mode to what its node object wishes. `report` publishes what came of it."""

    def __init__(
        self, control_plane: ControlPlane, mirror: Mirror, agent: NamedSwitch, report: Callable[[], Awaitable[None]]
    ) -> None:
        self._control_plane = control_plane
        self._mirror = mirror
        self._agent = agent
        self._report = report

    async def run(self) -> None:
        """Follow the wish until cancelled."""
        seen = -1
        while True:
            node = self._mirror.get(GpuNode, self._agent.node)
            unfinished = node is not None and await self.step(node)
            seen = await self._mirror.wait(seen, timeout=AGAIN_S if unfinished else None)

    async def step(self, node: GpuNode) -> bool:
        """Carry the wish one step on; whether it has to be tried again."""
        wanted, answer = node.spec.dynamic_mig, node.status.dynamic_mig
        if wanted is None:
            if answer is not None:
                await self._write(node, None)
            return False
        if answer is not None and (answer.wanted, answer.outcome) == (wanted, Outcome.DONE):
            return False
        came = await asyncio.to_thread(carry_out, self._agent, wanted)
        fresh = DynamicMig(wanted=wanted, outcome=came.outcome, message=came.message)
        if fresh != answer:
            log.info("switched MIG mode", on=wanted, outcome=fresh.outcome, reason=fresh.message)
            await self._report()
            await self._write(node, fresh)
        return fresh.outcome != Outcome.DONE

    async def _write(self, node: GpuNode, answer: DynamicMig | None) -> None:
        status = {"dynamicMig": None if answer is None else to_builtins(answer)}
        await self._mirror.absorb(await self._control_plane.patch(node, {"status": status}))
