"""Brings the node's MIG mode to what its GpuNode wishes (`spec.dynamicMig`) and says what came of it in its status."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from nodeagent.gpu.mig_mode import Outcome
from nodeagent.gpu.mode_switch import ModeSwitch, carry_out
from nodeagent.kubernetes.client import ApiError, Json
from nodeagent.kubernetes.gpu_node import GpuNodeWriter

EVERY_S = 2.0

_log = structlog.get_logger("nodeagent")


class ModeKeeper:
    """One node's. The wish is what the last heartbeat was answered with, so that asking for it costs nothing.

    changed  is told once a mode may be another: a heartbeat is due
    """

    def __init__(self, node: GpuNodeWriter, agent: ModeSwitch, changed: Callable[[], None]) -> None:
        self._node, self._agent, self._changed = node, agent, changed
        self._told: Json | None = None
        self._heard = True
        self._trouble = ""

    def look(self) -> None:
        """One step; what keeps the API server from being told is logged once."""
        try:
            self.step()
            self._trouble = ""
        except ApiError as e:
            if str(e) != self._trouble:
                _log.warning("cannot tell what came of the MIG mode", error=str(e))
            self._trouble = str(e)

    def step(self) -> None:
        """Carry the wish one step on. Raises ApiError."""
        if not self._node.uid:
            return
        wanted, answer = self._node.spec.get("dynamicMig"), self._answer()
        if wanted is None:
            if answer is not None:
                self._tell(None)
            return
        if answer is not None and (answer["wanted"], answer["outcome"]) == (wanted, Outcome.DONE):
            return
        fresh = carry_out(self._agent, wanted)
        told = {"wanted": fresh.wanted, "outcome": fresh.outcome.value, "message": fresh.message}
        if told != answer:
            _log.info("switched MIG mode", on=wanted, outcome=fresh.outcome.value, reason=fresh.message)
            self._tell(told)

    def _answer(self) -> Json | None:
        """What was answered last, which the next heartbeat shows."""
        stored: Json | None = self._node.status.get("dynamicMig")
        self._heard = self._heard or stored == self._told
        return stored if self._heard else self._told

    def _tell(self, answer: Json | None) -> None:
        self._node.answer_mode(answer)
        self._told, self._heard = answer, False
        self._changed()
