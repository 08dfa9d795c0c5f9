"""MIG mode as an admin wants it: the node's wish carried to the agent, the agent's answer back.

A wish that waits for a GPU reset, or that was refused, is tried again as long as it stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from migctl.backends.protocol import ControlPlane
from migctl.controller.mirror import Mirror
from migctl.objects import DynamicMig, Node, to_builtins
from nodeagent.contract import AgentError
from nodeagent.mig_mode import ModeChange, Outcome

AGAIN_S = 5.0

log = structlog.get_logger()


class ModeSwitch(Protocol):
    """What is needed of the node agent. The call blocks, repeats safely and raises AgentError."""

    node: str

    def set_dynamic_mig(self, on: bool) -> tuple[ModeChange, ...]: ...


class DynamicMigSwitch:
    """Brings this machine's MIG mode to what its node object wishes. `report` publishes what came of it."""

    def __init__(
        self, control_plane: ControlPlane, mirror: Mirror, agent: ModeSwitch, report: Callable[[], Awaitable[None]]
    ) -> None:
        self._control_plane = control_plane
        self._mirror = mirror
        self._agent = agent
        self._report = report

    async def run(self) -> None:
        """Follow the wish until cancelled."""
        seen = -1
        while True:
            node = self._mirror.get(Node, self._agent.node)
            unfinished = node is not None and await self.step(node)
            seen = await self._mirror.wait(seen, timeout=AGAIN_S if unfinished else None)

    async def step(self, node: Node) -> bool:
        """Carry the wish one step on; whether it has to be tried again."""
        wanted, answer = node.spec.dynamic_mig, node.status.dynamic_mig
        if wanted is None:
            if answer is not None:
                await self._write(node, None)
            return False
        if answer is not None and (answer.wanted, answer.outcome) == (wanted, Outcome.DONE):
            return False
        fresh = await asyncio.to_thread(self._switch, wanted)
        if fresh != answer:
            log.info("switched MIG mode", on=wanted, outcome=fresh.outcome, reason=fresh.message)
            await self._report()
            await self._write(node, fresh)
        return fresh.outcome != Outcome.DONE

    def _switch(self, on: bool) -> DynamicMig:
        try:
            return answer_of(on, self._agent.set_dynamic_mig(on))
        except AgentError as error:
            return DynamicMig(wanted=on, outcome=Outcome.REFUSED, message=str(error))

    async def _write(self, node: Node, answer: DynamicMig | None) -> None:
        status = {"dynamicMig": None if answer is None else to_builtins(answer)}
        await self._mirror.absorb(await self._control_plane.patch(node, {"status": status}))


def answer_of(on: bool, changes: Sequence[ModeChange]) -> DynamicMig:
    """One answer for the node: refused if any GPU refuses, else pending if any waits."""
    worst = max((c.outcome for c in changes), key=[Outcome.DONE, Outcome.PENDING, Outcome.REFUSED].index)
    reasons = "; ".join(f"GPU {c.index}: {c.reason}" for c in changes if c.outcome is worst and c.reason)
    return DynamicMig(wanted=on, outcome=worst, message=reasons)
